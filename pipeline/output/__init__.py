"""The contents of an output: layout, writing, and who may write."""
