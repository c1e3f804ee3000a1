"""Freed memory is kept, counted in page faults by the kernel, not in seconds."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from concurrent.futures import ThreadPoolExecutor
from negmerge.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytes(1) * (24 << 20) for _ in range(6)]  # more than a thread's own heap holds, and freed at once
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
print(*ThreadPoolExecutor(1).map(lambda _: faults(), range(3)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("call", "kept"), [("", False), ("keep_freed_memory()", True)])
def test_large_blocks_find_the_pages_of_those_before_in_a_thread_too(call: str, kept: bool) -> None:
    """A worker computes in a thread. As it comes, some pages are found again; all only where they are kept."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM.format(call=call)], capture_output=True, text=True, check=True)
    first, *later = map(int, ran.stdout.split())
    glibc = platform.libc_ver()[0] == "glibc"
    assert (max(later) < first / 10) is (kept and glibc), ran.stdout
