"""One file a command: what a person types becomes values, and an outcome becomes lines, JSON and an exit code.

Nothing heavy is imported before a command needs it.
"""
