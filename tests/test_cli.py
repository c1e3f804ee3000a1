"""The command line: exit status, what it prints, what it leaves behind."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from negmerge import cli
from tests import local_job


@dataclass
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def negmerge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line in this process, which spares each test the import of torch."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["negmerge", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """base, a and b: agree on the first element, disagree on the second; b leaves the third untouched."""
    save_file({"w": torch.tensor([1.0, 1.0, 1.0])}, tmp_path / "base.safetensors")
    save_file({"w": torch.tensor([1.5, 0.5, 2.0])}, tmp_path / "a.safetensors")
    save_file({"w": torch.tensor([2.0, 1.5, 1.0])}, tmp_path / "b.safetensors")
    return tmp_path


def test_merge_takes_several_files_after_one_option(negmerge: Command, models: Path) -> None:
    done = negmerge(
        "merge", "--base", models / "base.safetensors", "--tuned", models / "a.safetensors",
        models / "b.safetensors", "--out", models / "out.safetensors",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert load_file(models / "out.safetensors")["w"].tolist() == [1 - 0.75, 1.0, 1.0]


def test_merge_that_fails_exits_with_two_names_the_tensor_and_leaves_the_output_alone(
    negmerge: Command, models: Path
) -> None:
    save_file({"v": torch.zeros(3)}, models / "b.safetensors")
    (models / "out.safetensors").write_text("mine")
    done = negmerge(
        "merge", "--base", models / "base.safetensors", "--tuned", models / "a.safetensors",
        models / "b.safetensors", "--out", models / "out.safetensors",
    )  # fmt: skip
    assert done.returncode == 2
    assert "'w'" in done.stderr or "'v'" in done.stderr
    assert "Traceback" not in done.stderr
    assert (models / "out.safetensors").read_text() == "mine"
    assert sorted(path.name for path in models.iterdir()) == [
        "a.safetensors",
        "b.safetensors",
        "base.safetensors",
        "out.safetensors",
    ]


def test_inspect_shows_the_share_of_each_tensor(negmerge: Command, models: Path) -> None:
    done = negmerge("inspect", models / "a.safetensors")
    assert done.returncode == 0, done.stderr
    assert "100.00 %" in done.stdout


def test_run_makes_the_folder_and_evaluate_measures_what_it_holds(negmerge: Command, tmp_path: Path) -> None:
    spec = tmp_path / "job.json"
    spec.write_text(json.dumps(local_job.spec_document(tmp_path)))
    done = negmerge("run", spec, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "NegMerge" in done.stdout
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "unlearned",
        "merged",
        "result.json",
        "report.html",
        "MODEL_CARD.md",
    }
    measured = negmerge("evaluate", tmp_path / "out" / "unlearned", spec)
    assert json.loads(measured.stdout)["test"] == result["methods"]["negmerge"]["test"]


def test_run_refuses_a_folder_that_exists(negmerge: Command, tmp_path: Path) -> None:
    done = negmerge("run", tmp_path / "job.json", "--out", tmp_path)
    assert done.returncode == 2
    assert "exists" in done.stderr


def test_a_wrong_spec_is_told_field_by_field_and_nothing_is_left(negmerge: Command, tmp_path: Path) -> None:
    spec = tmp_path / "job.json"
    spec.write_text(json.dumps(local_job.spec_document(tmp_path, scale_search={"keep": 1.5})))
    done = negmerge("run", spec, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "/scale_search/keep" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_failed_run_leaves_nothing_behind(negmerge: Command, tmp_path: Path) -> None:
    spec = tmp_path / "job.json"
    diverging = {"points": [{"learning_rate": 1e6, "epochs": 2, "batch_size": 8}]}
    spec.write_text(json.dumps(local_job.spec_document(tmp_path, sweep=diverging)))
    before = set(tmp_path.iterdir())
    done = negmerge("run", spec, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert set(tmp_path.iterdir()) == before


def test_the_program_starts_as_a_module(models: Path) -> None:
    command = [sys.executable, "-m", "negmerge", "inspect", str(models / "missing.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
