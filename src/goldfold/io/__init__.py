"""Files that are whole or absent, seeds, random states, memory."""
