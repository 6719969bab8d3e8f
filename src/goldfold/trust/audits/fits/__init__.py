"""Audits of what a fit trained."""
