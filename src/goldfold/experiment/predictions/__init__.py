"""Predictions of other programs: their files, ids, columns and folds; and runs made of predictions alone."""
