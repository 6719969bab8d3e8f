"""What a run depends on: hashes of its code, data and config, and the record of versions and hardware."""
