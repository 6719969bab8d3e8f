"""The learning-rate range test: a sweep over the rate, and what its loss curve suggests."""
