"""The enlargement of a window of an image by a model: stages, methods, networks."""
