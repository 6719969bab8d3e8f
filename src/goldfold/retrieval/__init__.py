"""Image retrieval by embeddings: query and gallery rows, search, exact ranks, the network, its training and losses."""
