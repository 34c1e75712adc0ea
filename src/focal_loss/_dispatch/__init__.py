"""From the arguments of a function to the framework that computes it."""
