"""Pages and pictures of runs, epochs, studies and embeddings."""
