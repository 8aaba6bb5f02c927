"""Pixels: the header of an image file, its samples, and how both are read and written."""
