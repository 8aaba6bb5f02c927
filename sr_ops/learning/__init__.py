"""What is learned from one image before it is enlarged."""
