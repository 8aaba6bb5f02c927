"""The run: from a manifest to records."""
