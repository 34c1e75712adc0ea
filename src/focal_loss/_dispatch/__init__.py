"""From what a function is handed to the framework that computes it."""
