"""Memory goes back to the system where glibc is, and nothing happens elsewhere."""

import ctypes
import platform
import subprocess
import sys

import pytest

from limner import memory

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")


class OtherLibrary:
    """A C library without glibc's names, or, for ``None``, no way to open it."""

    def __init__(self, name: str | None) -> None:
        pass


@needs_glibc
def test_free_memory_goes_back() -> None:
    assert memory.release_free_memory()


@needs_glibc
@pytest.mark.parametrize(("chosen", "limited"), [({}, True), ({"MALLOC_ARENA_MAX": "1"}, False)])
def test_arenas_are_few_unless_the_operator_chose(chosen: dict[str, str], limited: bool) -> None:
    line = "from limner import memory; print(memory.limit_arenas())"  # in a process of its own: it cannot be undone
    ran = subprocess.run([sys.executable, "-c", line], env=chosen, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{limited}\n"


def test_objects_that_stay_are_looked_at_no_more() -> None:
    line = (  # in a process of its own: other tests collect garbage too
        "import gc, weakref; from limner import memory\n"
        "kept = [[] for _ in range(100_000)]; memory.keep_objects()\n"
        "class Ring: pass\n"
        "ring = Ring(); ring.self = ring; gone = weakref.ref(ring); del ring; memory.release_free_memory()\n"
        "print(gc.get_freeze_count() >= 100_000, len(gc.get_objects()) < 10_000, gone() is None)"
    )
    ran = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert ran.stdout == "True True True\n"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", OtherLibrary)
    assert not memory.release_free_memory()
    assert not memory.limit_arenas()


def test_without_a_c_library_to_open_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str | None) -> None:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not memory.release_free_memory()
    assert not memory.limit_arenas()
