"""The commands, one file each: they turn arguments into values, and an outcome into lines, JSON and an exit code.

Nothing heavy is imported before a command needs it.
"""
