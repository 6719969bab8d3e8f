"""Rows that only train: extra ones of a competition, and the columns that carry weights and soft targets."""
