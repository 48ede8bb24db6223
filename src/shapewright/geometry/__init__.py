"""Distances, sizes, components and topology."""
