"""Pixels to files: PNG, GeoTIFF and COG, with all metadata of the input."""
