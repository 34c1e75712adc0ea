"""Focal losses and metrics for Keras 3, on whichever backend Keras is set to.

Import this module, or any class of it, before `keras.saving.load_model` reads a model that was compiled with one:
Keras finds registered classes only once they are defined.
"""

from focal_loss.keras import losses, metrics

__all__ = ["losses", "metrics"]
