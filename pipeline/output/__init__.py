"""What lies in an output: where, how it is written, and who may write it."""
