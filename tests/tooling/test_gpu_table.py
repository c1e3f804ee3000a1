"""``make gpu`` on a machine without a GPU: it names what is missing; each row can be tried out on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def gpu(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "benchmarks.gpu", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_packages_that_are_missing_are_named() -> None:
    done = gpu(python=("-S",))  # no site-packages
    assert done.returncode == 3
    assert "make gpu needs the package open_clip_torch" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_missing_is_named() -> None:
    done = gpu()
    assert (done.returncode, done.stderr) == (3, "make gpu needs a CUDA device (torch sees none)\n")


@pytest.mark.slow
def test_every_row_can_be_tried_out_on_the_cpu(tmp_path: Path) -> None:
    done = gpu("--device", "cpu", "--tiny", "--out", str(tmp_path / "table.md"))
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "table.md").read_text()
    found = [row.split("|")[2].strip() for row in table.splitlines() if row.startswith("| ")][2:]
    assert len(found) == 11
    assert not [one for one in found if one.startswith(("did not fit", "WRONG", "FAILED"))]


@pytest.mark.slow
def test_rows_that_no_longer_fit_say_so(tmp_path: Path) -> None:
    done = gpu("--device", "cpu", "--tiny", "--minutes", "0", "--out", str(tmp_path / "table.md"))
    assert done.returncode == 0
    assert (tmp_path / "table.md").read_text().count("did not fit: 0 s were left") == 11
