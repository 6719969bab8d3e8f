"""Adversarial validation as a page and pictures."""
