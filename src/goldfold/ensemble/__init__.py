"""Ensembles of runs: blend methods, weights, nested out-of-fold scores."""
