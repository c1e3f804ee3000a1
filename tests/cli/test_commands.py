"""``inspect``, ``convert``, ``evaluate`` and ``--version``: exit status and what they print."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from negmerge import __version__
from negmerge.checkpoints.files import file_digest
from negmerge.errors import ModelError
from negmerge.models import cifar_resnets
from negmerge.models.loading import load_model
from tests.support import pico_timm, transformers_folders
from tests.support.command_line import Command, Done, assert_refused


def test_the_version_is_told(negmerge: Command) -> None:
    assert negmerge("--version") == Done(0, f"negmerge {__version__}\n", "")


def test_inspect_shows_the_share_of_each_tensor(negmerge: Command, models: Path) -> None:
    done = negmerge("inspect", models / "a.safetensors")
    assert done.returncode == 0, done.stderr
    assert "100.00 %" in done.stdout


def test_inspect_on_a_pipe_has_one_line_for_each_tensor_however_long_its_name(
    negmerge: Command, tmp_path: Path
) -> None:
    names = ["t" * 300, "visual.positional_embedding"]
    save_file({name: torch.ones(2, 3) for name in names}, tmp_path / "long.safetensors")
    lines = negmerge("inspect", tmp_path / "long.safetensors").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["tensor", *names]


def test_evaluate_wants_a_models_folder(negmerge: Command, models: Path) -> None:
    assert_refused(
        negmerge("evaluate", models / "a.safetensors", models / "job.json"), "folder in open_clip's or timm's format"
    )


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pickled classifier and its config, in the folder that the command is run in."""
    config = pico_timm.CONFIGS["resnet18"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"model": pico_timm.module(config).state_dict()}, tmp_path / "checkpoint.pth")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_convert_writes_a_folder_and_prints_its_digest(negmerge: Command, checkpoint: Path) -> None:
    done = negmerge("convert", "checkpoint.pth", "--config", "config.json", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{file_digest(checkpoint / 'out' / 'model.safetensors')}  out\n"


def test_a_folder_with_a_pickle_is_told_the_command_that_makes_a_folder_of_it(
    negmerge: Command, tmp_path: Path
) -> None:
    """As timm's ``save_for_hf`` writes it where nobody asks for safetensors."""
    module = pico_timm.module(pico_timm.config("test_resnet", size=160))
    save_for_hf(module, str(tmp_path / "a model"), safe_serialization=False)
    with pytest.raises(ModelError, match=r"has no model\.safetensors, but 'pytorch_model\.bin'") as told:
        load_model(tmp_path / "a model")
    found = re.search("`negmerge (.*)`", str(told.value))
    assert found is not None
    done = negmerge(*shlex.split(found[1]))
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "a model-converted").original.keys() == module.state_dict().keys()


def test_convert_reads_what_torch_save_wrote_under_the_name_of_safetensors(negmerge: Command, checkpoint: Path) -> None:
    (checkpoint / "checkpoint.pth").rename(checkpoint / "x.safetensors")
    done = negmerge("convert", "x.safetensors", "--config", "config.json", "--out", "out")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere.pth", "--config", "config.json", "--out", "out"], "no file nowhere.pth"),
        (["checkpoint.pth", "--config", "nowhere.json", "--out", "out"], "nowhere.json"),
        (["checkpoint.pth", "--config", "config.json", "--out", "."], "exists"),
        (["checkpoint.pth", "--config", "config.json", "--out", "no/out"], "no folder no"),
        (["checkpoint.pth", "--out", "out"], "--config"),
    ],
)
def test_convert_says_in_one_line_what_is_wrong(
    negmerge: Command, checkpoint: Path, given: list[str], said: str
) -> None:
    before = set(checkpoint.iterdir())
    assert_refused(negmerge("convert", *given), said)
    assert set(checkpoint.iterdir()) == before


@pytest.mark.slow
def test_the_program_starts_as_a_module(models: Path) -> None:
    command = [sys.executable, "-m", "negmerge", "inspect", str(models / "missing.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_hostile_tensor_name_is_text(negmerge: Command, tmp_path: Path) -> None:
    save_file({"\x1b[31m[bold]w[/bold]\u202e": torch.zeros(3)}, tmp_path / "hostile.safetensors")
    done = negmerge("inspect", tmp_path / "hostile.safetensors")
    assert "\\x1b[31m[bold]w[/bold]\\u202e" in done.stdout


def test_a_path_in_an_error_is_text(negmerge: Command, tmp_path: Path) -> None:
    assert_refused(negmerge("inspect", tmp_path / "\x1b[31mx.safetensors"), "\\x1b[31mx.safetensors")


def test_a_checkpoint_becomes_safetensors_to_merge(negmerge: Command, tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.zeros(3)}, "epoch": 1}, tmp_path / "a.pth")
    assert_refused(negmerge("inspect", tmp_path / "a.pth"), "`negmerge convert` makes them of one")
    done = negmerge("convert", tmp_path / "a.pth", "--out", tmp_path / "a.safetensors")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{file_digest(tmp_path / 'a.safetensors')}  {tmp_path / 'a.safetensors'}\n"
    assert_refused(negmerge("convert", tmp_path / "a.pth", "--out", tmp_path / "b"), "without --config")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--architecture", "resnet18", "--like", "x"], "exclude each other"),
        (["--classes", "3", "--config", "x.json"], "--classes is for --architecture"),
        (["--like", "x", "--key", "model"], "leave --key and --prefix out"),
    ],
)
def test_options_of_convert_that_do_not_go_together_are_refused(
    negmerge: Command, tmp_path: Path, options: list[str], word: str
) -> None:
    assert_refused(negmerge("convert", tmp_path / "a.pth", "--out", tmp_path / "b", *options), word)


@pytest.mark.slow
def test_a_checkpoint_becomes_a_folder_by_an_architectures_name(negmerge: Command, tmp_path: Path) -> None:
    torch.save({"state_dict": cifar_resnets.build("cifar_resnet20", 10).state_dict()}, tmp_path / "a.pth")
    done = negmerge("convert", tmp_path / "a.pth", "--architecture", "cifar_resnet20", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "the head has 10 outputs" in done.stderr
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_classes"] == 10


@pytest.mark.slow
def test_a_folder_of_transformers_goes_there_and_back(negmerge: Command, tmp_path: Path) -> None:
    folder = transformers_folders.save(transformers_folders.vit(), tmp_path / "vit")
    assert negmerge("convert", folder, "--out", tmp_path / "ours").returncode == 0
    done = negmerge("convert", tmp_path / "ours", "--like", folder, "--out", tmp_path / "back")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "back").iterdir()} == {path.name for path in folder.iterdir()}
