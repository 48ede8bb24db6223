"""Seeded phantoms and physics."""
