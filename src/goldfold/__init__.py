"""goldfold: a competition becomes a folder of four short files; folds, scores and submissions follow."""
