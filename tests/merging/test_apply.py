"""``negmerge.apply``: θ₀ − λ·τ* from files, as ``vectors.unlearned`` has it in memory."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import negmerge
from negmerge.checkpoints.files import file_digest, save_tensors
from negmerge.errors import CheckpointError, MergeError, ModelError, TensorError
from negmerge.merging.accumulators import CHUNK
from negmerge.merging.vectors import unlearned
from tests.support import pico, pico_timm, towers

BASE = {
    "z.weight": torch.randn(CHUNK + 7, generator=torch.Generator().manual_seed(0)),
    "a.weight": torch.tensor([[1.0, -0.0], [2.0, 3.0]], dtype=torch.bfloat16),
    "bn.running_mean": torch.tensor([0.5]),
    "bn.num_batches_tracked": torch.tensor(3),
    "text.proj": torch.tensor([7.0]),
}
TAU = {
    "a.weight": torch.tensor([[0.5, 0.0], [1e-6, -1.0]]),
    "z.weight": 0.01 * torch.randn(CHUNK + 7, generator=torch.Generator().manual_seed(1)),
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The base model's file, with metadata that no job's file has, and τ*'s."""
    save_file(BASE, tmp_path / "base.safetensors", {"format": "pt"})
    save_file(TAU, tmp_path / "tau.safetensors")
    return tmp_path / "base.safetensors", tmp_path / "tau.safetensors"


@pytest.mark.parametrize("scale", [0.0, 0.6, 1.0, 4.0])
def test_it_writes_what_a_job_would_write_at_that_scale(files: tuple[Path, Path], tmp_path: Path, scale: float) -> None:
    applied = negmerge.apply(*files, tmp_path / "out.safetensors", scale=scale)
    expected = save_tensors(unlearned(BASE, TAU, scale), tmp_path / "expected.safetensors")
    assert applied.digest == expected == file_digest(tmp_path / "out.safetensors")


def test_at_zero_all_bits_are_the_base_models(files: tuple[Path, Path], tmp_path: Path) -> None:
    negmerge.apply(*files, tmp_path / "out.safetensors", scale=0)
    out = load_file(tmp_path / "out.safetensors")
    assert {name: t.view(torch.uint8).tolist() for name, t in out.items() if t.ndim} == {
        name: t.view(torch.uint8).tolist() for name, t in BASE.items() if t.ndim
    }


def test_shards_give_the_same_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, name in enumerate(BASE):
        save_file({name: BASE[name]}, folder / f"{number}.safetensors")
    index = {name: f"{number}.safetensors" for number, name in enumerate(BASE)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    one = negmerge.apply(*files, tmp_path / "one.safetensors", scale=0.6)
    other = negmerge.apply(folder, files[1], tmp_path / "other.safetensors", scale=0.6)
    assert one == other


def test_it_tells_the_share_that_rounding_to_sixteen_bits_swallowed(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "base.safetensors")
    save_file({"w": torch.tensor([0.5, 0.0005])}, tmp_path / "tau.safetensors")
    applied = negmerge.apply(
        tmp_path / "base.safetensors", tmp_path / "tau.safetensors", tmp_path / "o.safetensors", scale=1.0
    )
    assert applied.rounded_away == pytest.approx(0.0005 / 0.5005)


def moved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A task vector of a model: every floating-point weight of it is moved a little."""
    return {
        name: torch.full_like(t, 1e-3)
        for name, t in state.items()
        if t.dtype is torch.float32 and "running" not in name
    }


def test_of_a_models_folder_it_makes_a_folder_that_loads_as_it_is(tmp_path: Path) -> None:
    for name, folder in (("clip", pico.write_folder), ("timm", write_timm), ("siglip", towers.write_siglip)):
        base = folder(tmp_path / name)
        original = negmerge.load_model(base).original
        save_file(moved(original), tmp_path / "tau.safetensors")
        negmerge.apply(base, tmp_path / "tau.safetensors", tmp_path / f"{name}-out", scale=0.5)
        model = negmerge.load_model(tmp_path / f"{name}-out")
        expected = unlearned(original, moved(original), 0.5)
        assert all(torch.equal(model.original[key], tensor) for key, tensor in expected.items())


def write_timm(folder: Path) -> Path:
    return pico_timm.write_folder(folder, pico_timm.CONFIGS["resnet18"])


def test_of_a_folder_it_makes_a_file_where_the_name_says_so(tmp_path: Path) -> None:
    base = write_timm(tmp_path / "base")
    save_file({"fc.bias": torch.ones(5)}, tmp_path / "tau.safetensors")
    negmerge.apply(base, tmp_path / "tau.safetensors", tmp_path / "out.safetensors", scale=1.0)
    assert (tmp_path / "out.safetensors").is_file()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"extra": torch.ones(1)}, "'extra'.*missing from"),
        ({"a.weight": torch.ones(4)}, r"'a.weight'.*shape \[4\]"),
        ({"a.weight": torch.ones(2, 2, dtype=torch.float16)}, "'a.weight'.*a task vector is F32"),
        ({"bn.running_mean": torch.ones(1)}, "'bn.running_mean'.*buffer"),
        ({"bn.num_batches_tracked": torch.tensor(1.0)}, "'bn.num_batches_tracked'.*buffer"),
        ({"text.proj": torch.tensor([float("nan")])}, "'text.proj'.*NaN"),
        ({"text.proj": torch.tensor([8.0])}, "'text.proj'.*8 or more"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_tensor_that_is_not_the_base_models_is_named(
    files: tuple[Path, Path], tmp_path: Path, wrong: dict[str, Tensor], told: str
) -> None:
    save_file(wrong, files[1])
    with pytest.raises(TensorError, match=told):
        negmerge.apply(*files, tmp_path / "out.safetensors", scale=1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.safetensors", "tau.safetensors"]


def test_a_base_model_that_is_not_finite_is_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    save_file(BASE | {"text.proj": torch.tensor([float("inf")])}, files[0])
    with pytest.raises(TensorError, match=r"'text\.proj'"):
        negmerge.apply(*files, tmp_path / "out.safetensors", scale=1.0)


def test_what_leaves_the_range_of_its_type_is_named(tmp_path: Path) -> None:
    save_file({"w": torch.tensor([65504.0], dtype=torch.float16)}, tmp_path / "base.safetensors")
    save_file({"w": torch.tensor([-7.0])}, tmp_path / "tau.safetensors")
    with pytest.raises(TensorError, match=r"'w'.*use a smaller one"):
        negmerge.apply(
            tmp_path / "base.safetensors", tmp_path / "tau.safetensors", tmp_path / "o.safetensors", scale=1000
        )


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_not_finite_is_refused(files: tuple[Path, Path], tmp_path: Path, scale: float) -> None:
    with pytest.raises(MergeError, match="finite"):
        negmerge.apply(*files, tmp_path / "out.safetensors", scale=scale)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_whole_model_is_no_task_vector(tmp_path: Path, noise: float) -> None:
    base = {"w": torch.randn(2000, generator=torch.Generator().manual_seed(0))}
    tuned = {"w": base["w"] + noise * torch.randn(2000, generator=torch.Generator().manual_seed(1))}
    save_file(base, tmp_path / "base.safetensors")
    save_file(tuned, tmp_path / "tuned.safetensors")
    with pytest.raises(MergeError, match="is a whole model and no task vector") as caught:
        negmerge.apply(
            tmp_path / "base.safetensors", tmp_path / "tuned.safetensors", tmp_path / "out.safetensors", scale=1
        )
    assert "negmerge merge --base" in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("along", [-1.0, -0.3, 0.3])
def test_a_change_along_the_weights_is_a_task_vector(tmp_path: Path, along: float) -> None:
    """Such as a strong weight decay's, which draws them towards zero."""
    base = {"w": torch.randn(2000, generator=torch.Generator().manual_seed(0))}
    save_file(base, tmp_path / "base.safetensors")
    save_file({"w": along * base["w"]}, tmp_path / "tau.safetensors")
    negmerge.apply(tmp_path / "base.safetensors", tmp_path / "tau.safetensors", tmp_path / "out.safetensors", scale=1)
    assert torch.allclose(load_file(tmp_path / "out.safetensors")["w"], (1 - along) * base["w"])


def test_a_folder_that_is_there_is_left_alone(files: tuple[Path, Path], tmp_path: Path) -> None:
    base = write_timm(tmp_path / "base")
    (tmp_path / "out").mkdir()
    with pytest.raises(CheckpointError, match="exists"):
        negmerge.apply(base, files[1], tmp_path / "out", scale=1.0)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_fails_leaves_nothing_behind(files: tuple[Path, Path], tmp_path: Path) -> None:
    base = write_timm(tmp_path / "base")
    with pytest.raises(TensorError):
        negmerge.apply(base, files[1], tmp_path / "out", scale=1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "base.safetensors", "tau.safetensors"]


@pytest.mark.parametrize("config", [None, {"model_type": "clip"}, "{"])
def test_a_folder_of_neither_family_is_told_how_to_get_weights_alone(
    files: tuple[Path, Path], tmp_path: Path, config: Any
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(BASE, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(ModelError):
        negmerge.apply(folder, files[1], tmp_path / "out", scale=1.0)
    assert not (tmp_path / "out").exists()
