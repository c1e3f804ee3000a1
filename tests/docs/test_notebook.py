"""The notebook of the docs: it runs as it stands, and what it was kept with is of a real run and nobody's machine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support import pico

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def code_cells(notebook: Path) -> list[Any]:
    document = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    return [cell for cell in document.cells if cell.cell_type == "code"]


def texts(cells: list[Any]) -> str:
    """All that cells printed or show, as text."""
    outputs = [output for cell in cells for output in cell.outputs]
    shown = [str(form) for output in outputs for media, form in output.get("data", {}).items() if "image" not in media]
    return "\n".join([output.get("text", "") for output in outputs] + shown)


@pytest.mark.server
@pytest.mark.slow
def test_it_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    """On a real service, with a smaller model and archive in place of the demo's."""
    pico.make_archive(tmp_path / "digits" / "digits.zip")
    pico.make_model(tmp_path / "digits" / "model")
    command = [sys.executable, "-m", "tooling.notebook", "--digits", str(tmp_path / "digits")]
    command += ["--out", str(tmp_path / "run.ipynb")]
    done = subprocess.run(command, cwd=NOTEBOOK.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = code_cells(tmp_path / "run.ipynb")
    assert [cell.source for cell in cells] == [cell.source for cell in code_cells(NOTEBOOK)]
    assert "True" in texts(cells)  # the digest of what was downloaded
    assert "of 12 forgotten" in texts(cells)


def test_it_was_kept_as_it_ran_from_top_to_bottom() -> None:
    cells = code_cells(NOTEBOOK)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [output for cell in cells for output in cell.outputs if output.output_type == "error"] == []
    assert "negmerge" in texts(cells)
    assert "True" in texts(cells)
    assert texts(cells).count("unlearned\n") == 2  # a class, and twelve pictures


@pytest.mark.parametrize("pattern", [r"/(work|tmp|home|root|usr)/", r"127\.0\.0\.1:\d", r"localhost:\d", r"\bnm_\w+"])
def test_nothing_in_what_it_printed_is_of_one_machine(pattern: str) -> None:
    assert re.findall(pattern, texts(code_cells(NOTEBOOK))) == []
