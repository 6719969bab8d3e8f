"""Pages and pictures of what embeddings retrieve."""
