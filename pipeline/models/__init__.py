"""Trained models of others, as files: what they are is found out before anything starts."""
