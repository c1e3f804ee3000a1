"""The tests that need a device, in a process of their own: without the service's fixtures, which they do not use."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.table import Bench, Wrong

ROOT = Path(__file__).parents[2]
_MARK = re.compile(r"^\s*(@|pytestmark = )pytest\.mark\.gpu\b", re.MULTILINE)
_NO_TESTS = 5
"""pytest's exit status where it has chosen none."""


def gpu_tests(_bench: Bench, seconds: float) -> str:
    """All tests with the mark ``gpu``. Raises Wrong where one fails, or they take longer than they may."""
    files = sorted(str(path) for path in (ROOT / "tests").rglob("test_*.py") if _MARK.search(path.read_text("utf-8")))
    options = ["-m", "gpu", "-q", "--noconftest", "-p", "no:cacheprovider", "-W", "default", "-rs"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *files],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"the tests were not over in {seconds:.0f} s") from None
    print(done.stdout, end="")
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-200:]
    if done.returncode not in (0, _NO_TESTS):
        raise Wrong(last.strip("= "))
    return f"{last.strip('= ')}; {len(files)} files"
