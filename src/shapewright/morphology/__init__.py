"""Structuring elements and morphological operators."""
