"""``python -m loopwatch`` is the command ``loopwatch``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
