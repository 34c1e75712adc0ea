"""What the command `focal-loss` does."""
