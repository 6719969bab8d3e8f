"""The capacity probe: how large a batch fits into memory, and which batch trains fastest."""
