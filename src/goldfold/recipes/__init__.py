"""Recipes: each turns typed parameters and the training rows of a fold into a `Plan`."""
