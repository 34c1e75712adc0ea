"""From the scores of a focal loss to probabilities."""
