"""The record of a study and its pictures."""
