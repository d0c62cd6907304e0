"""What ``describe`` does: have pictures looked at, print the answer.

stdout gets the answer and nothing else; progress, the model and warnings go to stderr.
"""

import sys

from limner.cli.ask import Ask, Said, Where
from limner.cli.progress import watching


def describe_and_print(ask: Ask, where: Where, *, quiet: bool) -> None:
    """Ask about the pictures and print what is answered. Raises LimnerError."""
    said = _said(ask, where, quiet=quiet)
    for warning in said.warnings:
        print(f"limner: warning: {warning.message}", file=sys.stderr)
    if not quiet:
        print(f"model={said.model}", file=sys.stderr)
    print(said.text, flush=True)


def _said(ask: Ask, where: Where, *, quiet: bool) -> Said:
    with watching(quiet=quiet) as watch:
        if where.server is not None:
            from limner.cli import remote

            return remote.describe(ask, where.server, where.api_key)
        from limner.cli import local

        return local.describe(ask, watch)
