"""What methods that enlarge patch by patch share."""
