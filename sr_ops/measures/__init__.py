"""Measures of a result: beside the truth, beside its input, and of its trust."""
