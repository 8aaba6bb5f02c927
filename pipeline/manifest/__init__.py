"""The manifest: tables, lists and folders become rows, each checked; bad ones are data."""
