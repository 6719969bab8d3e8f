"""Submission files: writing, checks, run-length encoding, ranked lists."""
