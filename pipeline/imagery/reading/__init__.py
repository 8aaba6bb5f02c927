"""Decoding of hostile files, in separate processes."""
