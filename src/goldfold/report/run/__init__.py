"""Record of a run, and its pictures."""
