"""Photographs of persons for re-identification: folder layouts, and query/gallery splits."""
