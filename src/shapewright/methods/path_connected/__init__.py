"""Path-connected segmentation, from scribbles or from any network's probabilities."""
