"""`python -m restore_lightning` is `restore`."""

import sys

from restore_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main())
