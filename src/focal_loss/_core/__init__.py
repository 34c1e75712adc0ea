"""Code that every framework shares: options and their checks, shapes, the mathematics of the losses."""
