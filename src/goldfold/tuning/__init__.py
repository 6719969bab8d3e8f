"""Hyperparameter tuning: search space, studies, workers, pruning, re-evaluation on new folds."""
