"""``python -m focal_loss`` is the `focal-loss` command."""

import sys

from focal_loss._command.cli import main

if __name__ == "__main__":
    sys.exit(main())
