"""Kaggle: the client, uploads, the submission ledger, downloads, notebooks, real leaderboards."""
