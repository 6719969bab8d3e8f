"""Atomic file writes, number formatting, progress, seeds, random states, memory settings."""
