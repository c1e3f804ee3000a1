"""``negmerge apply``: exit status, what it prints, what it leaves behind."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.command_line import Command, assert_refused


def command(models: Path, *options: object) -> list[object]:
    """With the base model 1, 1, 1 and the task vector ½, 0, −2."""
    save_file({"w": torch.tensor([0.5, 0.0, -2.0])}, models / "tau.safetensors")
    return [
        "apply",
        models / "base.safetensors",
        models / "tau.safetensors",
        "--out",
        models / "out.safetensors",
        *options,
    ]


def test_apply_subtracts_the_vector_at_the_scale_and_prints_the_digest(negmerge: Command, models: Path) -> None:
    done = negmerge(*command(models, "--scale", "0.5"))
    assert done.returncode == 0, done.stderr
    assert load_file(models / "out.safetensors")["w"].tolist() == [0.75, 1.0, 2.0]
    digest = hashlib.sha256((models / "out.safetensors").read_bytes()).hexdigest()
    assert done.stdout == f"sha256:{digest}  {models / 'out.safetensors'}\n"


def test_the_scale_must_be_said(negmerge: Command, models: Path) -> None:
    assert_refused(negmerge(*command(models)), "--scale")


@pytest.mark.parametrize("scale", ["-1", "1001", "nan", "inf", "much", "1_0"])
def test_a_wrong_scale_is_named(negmerge: Command, models: Path, scale: str) -> None:
    assert_refused(negmerge(*command(models, "--scale", scale)), "--scale", "give a number from 0 to 1000")
    assert not (models / "out.safetensors").exists()


@pytest.mark.parametrize("name", ["base", "tau"])
def test_apply_never_writes_over_what_it_reads(negmerge: Command, models: Path, name: str) -> None:
    given = command(models, "--scale", "1", "--out", models / f"{name}.safetensors")
    before = (models / f"{name}.safetensors").read_bytes()
    assert_refused(negmerge(*given), "name another --out")
    assert (models / f"{name}.safetensors").read_bytes() == before


def test_a_vector_of_another_model_names_the_tensor(negmerge: Command, models: Path) -> None:
    given = command(models, "--scale", "1")
    save_file({"v": torch.ones(3)}, models / "tau.safetensors")
    assert_refused(negmerge(*given), "'v'", "base.safetensors")


def test_a_share_that_rounding_swallowed_is_told(negmerge: Command, models: Path) -> None:
    given = command(models, "--scale", "1")
    save_file({"w": torch.ones(2, dtype=torch.bfloat16)}, models / "base.safetensors")
    save_file({"w": torch.tensor([0.5, 0.0005])}, models / "tau.safetensors")
    assert "0.10 % of the change is lost in rounding" in negmerge(*given).stdout
