"""Submission files: write, read and check them; run-length encoding; ranked lists; one score per row."""
