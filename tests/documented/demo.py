"""The table of the demo in the README: the demo itself, with fewer requests than by default."""

from __future__ import annotations

import sys

from examples.simulated_async.__main__ import main

if __name__ == "__main__":
    sys.argv += ["--requests", "20"]
    sys.exit(main())
