"""Decisions: what a config's block `decide:` fits on out-of-fold predictions, its nested scores, and its use."""
