"""Retrieval results of embeddings, as pages and pictures."""
