"""The work of the command `focal-loss`."""
