"""Adversarial validation: can a classifier tell the test rows from the train rows, and by which columns."""
