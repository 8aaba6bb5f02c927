"""A run as one HTML file that people look at: what was run, how it went, what came out, and what failed and why."""
