"""Binary hash codes that retrieve: neighbors by Hamming distance, and scores of rankings full of ties."""
