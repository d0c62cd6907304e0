"""``python -m limner`` is the command line."""

import sys

from limner.cli import main

sys.exit(main())
