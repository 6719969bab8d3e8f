"""Metrics of masks of several classes, of their boundaries, and of objects."""
