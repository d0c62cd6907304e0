"""How memory is freed: what the C library keeps of it and gives back, and where Python looks for garbage.

Owns the calls into glibc that Python has no names for; elsewhere they do nothing. Knows nothing of who uses them.
"""

import ctypes
import gc
import os
from collections.abc import Callable
from typing import cast

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
ARENAS = 4  # glibc's default is eight a core, each of which keeps the most that its threads ever needed
KEPT_BYTES = 256 * 1024**2


def limit_arenas() -> bool:
    """Let all threads share a few malloc arenas, unless the operator has chosen (MALLOC_ARENA_MAX); whether it was
    done. To be called before threads start."""
    mallopt = _c_function("mallopt", ctypes.c_int, ctypes.c_int)
    if mallopt is None or "MALLOC_ARENA_MAX" in os.environ:
        return False
    return mallopt(M_ARENA_MAX, ARENAS) == 1


def keep_memory() -> bool:
    """Let ``KEPT_BYTES`` of freed memory be kept for the next tensors; whether it was done.

    glibc gives large blocks back to the system at once and has them cleared page by page when it takes them again: a
    fifth of the time in which a CPU decodes a 256 x 256 picture, two fifths when it decodes four at once. Does nothing
    where the environment says how malloc should behave.
    """
    mallopt = _c_function("mallopt", ctypes.c_int, ctypes.c_int)
    if mallopt is None or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    return all(mallopt(option, KEPT_BYTES) == 1 for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


def keep_objects() -> None:
    """What there is now is there to stay: look for no garbage in it again.

    A server's modules, models and schemas are hundreds of thousands of objects, which every full collection goes
    through on the thread that answers everybody. Takes a third of a second.
    """
    gc.collect()
    gc.freeze()


def release_free_memory() -> bool:
    """Free what only cycles hold, and give the allocator's free pages back to the system; whether there was a way to
    ask for that. Takes milliseconds after `keep_objects`."""
    gc.collect()
    trim = _c_function("malloc_trim", ctypes.c_size_t)
    if trim is None:
        return False
    trim(0)
    return True


def _c_function(name: str, *argument_types: type) -> Callable[..., int] | None:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (OSError, TypeError, AttributeError):  # no C library to open by no name, or one that is not glibc
        return None
    function.argtypes = argument_types
    return cast(Callable[..., int], function)
