"""Priors: files of weights that fits start from, and their training."""
