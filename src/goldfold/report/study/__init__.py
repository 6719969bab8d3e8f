"""Record of a study, and its pictures."""
