"""Weights of direct networks that images start from, and their training."""
