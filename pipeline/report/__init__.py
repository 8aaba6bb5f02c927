"""The report of a run, one HTML file: what was run, how it went, the results, and what failed and why."""
