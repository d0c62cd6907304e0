"""A gate for many runners or one changer: forwards pass together, a change to shared modules passes alone.

Knows only threads.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Readers share, a writer excludes. A waiting writer lets no new reader in, so it does not starve.

    Not reentrant: a thread inside must not enter again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writers = 0  # waiting or inside
        self._is_writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Run on the shared modules."""
        with self._changed:
            self._changed.wait_for(lambda: self._writers == 0)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if self._writers:
                    self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Change them, alone."""
        with self._changed:
            self._writers += 1
            self._changed.wait_for(lambda: self._readers == 0 and not self._is_writing)
            self._is_writing = True
        try:
            yield
        finally:
            with self._changed:
                self._writers -= 1
                self._is_writing = False
                self._changed.notify_all()
