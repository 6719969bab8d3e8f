"""Hyperparameter search: run a study, write its record, show it in the browser."""
