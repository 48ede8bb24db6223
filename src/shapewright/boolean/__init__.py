"""Boolean filters of a pixel's neighbourhood."""
