"""`python -m rekall`: the same door as `rekall-py`."""

import sys

from rekall.cli import main

if __name__ == "__main__":
    sys.exit(main())
