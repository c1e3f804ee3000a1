"""The page for notebooks: its blocks run as they stand, one after the other, and what it says of them is so."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import negmerge
from tests.support import pico

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "library.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as ``make demo`` leaves one, with the pico model and archive, and checkpoints to merge."""
    folder = tmp_path_factory.mktemp("notebook")
    digits = folder / "var" / "demo" / "digits"
    pico.make_archive(digits / "digits.zip")
    pico.make_model(digits / "model")
    base = load_file(digits / "model" / "open_clip_model.safetensors")
    for name, seed in (("base", None), ("run1", 1), ("run2", 2)):
        noise = torch.Generator().manual_seed(seed or 0)
        moved = {key: value + 0.01 * torch.randn(value.shape, generator=noise) for key, value in base.items()}
        save_file(base if seed is None else moved, folder / f"{name}.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def notebook(place: Path) -> dict[str, Any]:
    """All blocks of the page, run in order as the cells of one notebook; the names that they leave."""
    names: dict[str, Any] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/library.md, block {number + 1}", "exec"), names)
    return names


def test_every_block_runs(notebook: dict[str, Any]) -> None:
    assert len(BLOCKS) == 7
    assert {"merged", "tau", "half", "result", "model"} <= set(notebook)


def test_merge_wrote_what_it_says(notebook: dict[str, Any], place: Path) -> None:
    assert 0.4 < notebook["merged"].consensus.share < 0.6  # independent noise agrees on a sign half of the time
    assert (place / "merged.safetensors").exists()


def test_half_a_task_vector_is_task_arithmetic_at_that_scale(notebook: dict[str, Any], place: Path) -> None:
    negmerge.merge(
        "base.safetensors", ["run1.safetensors"], "arithmetic.safetensors", method="task_arithmetic", scale=0.5
    )
    assert (place / "half.safetensors").read_bytes() == (place / "arithmetic.safetensors").read_bytes()
    assert (place / "half.safetensors").read_bytes() == (place / "applied.safetensors").read_bytes()


def test_the_other_scale_is_a_models_folder(notebook: dict[str, Any], place: Path) -> None:
    quarter = negmerge.load_model(place / "unlearned-quarter")
    moved = [
        name for name in quarter.names if not torch.equal(quarter.original[name], notebook["model"].original[name])
    ]
    assert moved


def test_the_error_is_the_one_on_the_page(notebook: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    exec(BLOCKS[-1], notebook)
    assert capsys.readouterr().out.strip() == BLOCKS[-1].split("# ")[1].strip()
