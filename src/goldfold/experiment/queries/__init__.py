"""Queries by image or row: nearest rows by embeddings, or tags and nearest codes of classifiers."""
