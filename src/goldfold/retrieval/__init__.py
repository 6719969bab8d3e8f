"""Retrieval by embeddings: queries and galleries, search, exact ranks, the embedding network, its stages and losses."""
