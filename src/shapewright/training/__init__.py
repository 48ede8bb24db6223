"""The method protocol, runs, checkpoints, inference."""
