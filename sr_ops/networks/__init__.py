"""Networks, what they are made of, and how they run over an image."""
