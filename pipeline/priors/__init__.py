"""Weights that fits start from: as files, and how they are trained."""
