"""Measure how large a batch fits and which is fastest, adopt it in a config, and time predictions."""
