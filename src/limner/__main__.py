"""``python -m limner`` is the command line."""

from limner.cli import main

main()
