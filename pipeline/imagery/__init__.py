"""Pixels: what a file says of its picture, its samples, and how they are read and written."""
