"""Experiments: from a config to folds, fits and scores in a run folder, and the identity of a run."""
