"""Recipes: ways to solve a competition, each readable alone."""
