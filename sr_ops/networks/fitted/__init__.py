"""Networks that are fitted to an image from scratch; each file holds one as its NETWORK."""
