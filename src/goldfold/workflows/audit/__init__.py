"""Audits as a command of their own: of a competition's data and folds, and of a finished run."""
