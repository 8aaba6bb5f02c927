"""Pixels to files: PNG, GeoTIFF and COG, with all that the input said of them."""
