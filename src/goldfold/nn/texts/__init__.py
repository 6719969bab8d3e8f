"""Text encoders that are trained: where they come from, tokens, batches of texts of like length, the network."""
