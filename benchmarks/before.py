"""The code as it was before issue 14, so that a benchmark can run it in turn with the code as it is."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

COMMIT = "dc3c91e"
_ROOT = Path(__file__).resolve().parent.parent


def before() -> Path | None:
    """A folder with that commit's files; None, said aloud, where this checkout does not know it."""
    folder = _ROOT / "var" / "before" / COMMIT
    if not folder.is_dir():
        archive = subprocess.run(["git", "archive", COMMIT], cwd=_ROOT, capture_output=True, check=False)
        if archive.returncode:
            print(f"  before: unmeasured, this checkout has no commit {COMMIT} (it is a shallow one, or no clone)")
            return None
        unfinished = folder.with_name(f".{COMMIT}.{os.getpid()}")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(unfinished, filter="data")
        unfinished.rename(folder)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """For a process that is to import the code of ``folder``, with the packages of this environment."""
    return os.environ | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
