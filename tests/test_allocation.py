"""Freed memory is kept, counted in page faults by the kernel, not in seconds."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from negmerge.allocation import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytes(1) * (64 << 20)  # over glibc's own bound, and freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
first, second = faults(), faults()
print(first, second)
"""


@pytest.mark.parametrize(("call", "kept"), [("", False), ("keep_freed_memory()", True)])
def test_a_large_tensor_finds_the_pages_of_the_one_before(call: str, kept: bool) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM.format(call=call)], capture_output=True, text=True, check=True)
    first, second = map(int, ran.stdout.split())
    glibc = platform.libc_ver()[0] == "glibc"
    assert (second < first / 10) is (kept and glibc), ran.stdout
