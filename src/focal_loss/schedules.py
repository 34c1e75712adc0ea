"""Gammas that depend on the example or on the step of a training.

The losses take the results as they are. Where a step is compiled, a gamma that changes from step to step goes into it
as an argument; a number that the compiled code reads from elsewhere would be a constant of it.
"""

from focal_loss._training.schedules import cosine_schedule, flsd53, gamma_for_probability, linear_schedule

__all__ = ["cosine_schedule", "flsd53", "gamma_for_probability", "linear_schedule"]
