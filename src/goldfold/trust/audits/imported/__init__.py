"""Audits of predictions that another program made."""
