"""Code that the objectives, metrics and classifiers of the three boosters share."""
