"""``python -m limner.cli``, the same as ``limner``."""

import sys

from limner.cli import main

sys.exit(main())
