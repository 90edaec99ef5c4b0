"""Run ``python -m imagereg`` as the command ``tweakreg``."""

import sys

from imagereg.interfaces import main

if __name__ == "__main__":
    sys.exit(main())
