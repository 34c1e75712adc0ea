"""Weights of classes and offsets of logits, from the number of examples of each class.

The counts may be of any kind that lies on the host; tensors are read. The result is a NumPy array of float64, one
entry per class: a `class_weight` of the softmax losses, or an offset to add to logits.
"""

from focal_loss._training.weights import balanced_weights, effective_number_weights, logit_adjustment

__all__ = ["balanced_weights", "effective_number_weights", "logit_adjustment"]
