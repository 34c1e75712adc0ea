"""Code that the objectives, metrics and classifiers of all boosting libraries share."""
