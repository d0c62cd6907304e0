"""What the C library keeps of freed memory, in processes of their own: it is a setting of the whole process."""

import os
import platform
import subprocess
import sys

import pytest

TOUCH = """
import resource, sys
import torch
from limner.memory import keep_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

kept = keep_memory()
# 40 MiB, of which glibc gives every block back. Aligned blocks are asked for with some room, so that what was freed is
# used again only where two of them have grown together: that takes a few rounds.
for _ in range(30):
    torch.ones(10 * 2**20)
before = faults()
for _ in range(5):
    torch.ones(10 * 2**20)
print(kept, (faults() - before) // 5)
"""
PAGES = 40 * 2**20 // os.sysconf("SC_PAGE_SIZE")

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")


def touched(**environment: str) -> tuple[str, int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", TOUCH], env=clean | environment, capture_output=True, text=True, check=True
    )
    kept, pages = done.stdout.split()
    return kept, int(pages)


def test_large_tensors_find_their_pages_again() -> None:
    kept, pages = touched()
    assert kept == "True"
    assert pages < PAGES / 50


def test_what_the_environment_says_of_malloc_stands() -> None:
    kept, pages = touched(MALLOC_TRIM_THRESHOLD_="131072")
    assert kept == "False"
    assert pages > 10  # huge pages count once
