"""Class weights, and gammas that change during a training."""
