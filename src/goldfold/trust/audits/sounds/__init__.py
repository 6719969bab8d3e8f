"""Audits of recordings of sound."""
