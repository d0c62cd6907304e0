"""The seam behind which everything that makes pictures fits.

Owns the Backend protocol alone. Sibling modules fit what this machine runs behind it, and somebody else's vision model.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from limner.core import Event, Request


class Backend(Protocol):
    """Something that turns a resolved Request into pictures."""

    def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield Progress and Preview events, then exactly one Finished.

        Closing the generator (``aclose``) cancels the work. Raises LimnerError; any other exception is a bug.
        """
        ...

    @property
    def healthy(self) -> bool:
        """Whether it can make pictures now; False once its engine or upstream has died."""
        ...

    async def aclose(self) -> None:
        """Stop accepting, cancel what runs and free devices and threads."""
        ...
