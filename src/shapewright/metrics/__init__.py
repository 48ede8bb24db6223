"""Exact evaluation metrics."""
