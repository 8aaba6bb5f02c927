"""The work on one image, or on a group of its tiles: from the request to stored results."""
