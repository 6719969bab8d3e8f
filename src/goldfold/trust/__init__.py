"""Audits that find misleading scores, and comparisons of runs paired over folds."""
