"""Audits of masks."""
