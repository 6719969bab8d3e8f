"""Adversarial validation of a competition's tables."""
