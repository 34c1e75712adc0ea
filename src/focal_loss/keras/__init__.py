"""Focal losses, metrics and layers for Keras 3, on whichever backend Keras is set to.

Import this module, or any class of it, before `keras.saving.load_model` reads a model with a layer of it, or one
that was compiled with a loss of it: Keras finds registered classes only once they are defined.
"""

from focal_loss.keras import layers, losses, metrics

__all__ = ["layers", "losses", "metrics"]
