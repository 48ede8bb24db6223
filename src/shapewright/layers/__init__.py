"""Learnable parts."""
