"""Reports of runs on tables: the importance of features."""
