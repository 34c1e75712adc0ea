"""The maps from logits to class posteriors as `keras.layers.Layer`."""

from focal_loss.keras._layers import CategoricalPosteriorFromLogits, PosteriorFromLogits

__all__ = ["CategoricalPosteriorFromLogits", "PosteriorFromLogits"]
