"""The camera, found in the pixels of an image."""
