"""What a merge of files is not silent about: rounding, a result that is the base model, models given twice."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from negmerge.errors import MergeError
from negmerge.merging.files import FileMerge, merge_files

SIZE = 20_000


class Models:
    """A base model of one tensor, and models that a small change of the same direction made of it."""

    def __init__(self, folder: Path, change: float = 2e-5) -> None:
        generator = torch.Generator().manual_seed(0)
        self.folder = folder
        self.theta_0 = torch.randn(SIZE, generator=generator) * 0.02
        direction = torch.randn(SIZE, generator=generator) * change
        self.taus = [direction * share for share in (0.75, 1.0, 1.25)]
        self.mean = direction

    def tuned(self) -> list[Tensor]:
        return [self.theta_0 + tau for tau in self.taus]

    def merge(self, base: Tensor, tuned: list[Tensor], scale: float = 1.0, strict: bool = False) -> FileMerge:
        save_file({"w": base}, self.folder / "base.safetensors")
        paths = [self.folder / f"tuned{number}.safetensors" for number in range(len(tuned))]
        for path, theta in zip(paths, tuned, strict=True):
            save_file({"w": theta}, path)
        out = self.folder / "out.safetensors"
        return merge_files(self.folder / "base.safetensors", paths, out, scale=scale, strict=strict)

    def change(self) -> Tensor:
        """What the merge subtracted, as the files have it."""
        base, out = (load_file(self.folder / f"{name}.safetensors")["w"] for name in ("base", "out"))
        return base.float() - out.float()


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


def only(merged: FileMerge) -> str:
    (warning,) = merged.warnings
    return warning


def test_a_merge_in_float32_has_nothing_to_warn_of(models: Models) -> None:
    assert models.merge(models.theta_0, models.tuned()).warnings == ()


def test_the_share_that_rounding_swallowed_is_that_of_a_jobs_result(models: Models) -> None:
    base = models.theta_0.bfloat16()
    merged = models.merge(base, [base.float() + tau for tau in models.taus])
    tau = torch.stack([(base.float() + tau) - base.float() for tau in models.taus]).double().mean(0)
    swallowed = (base.float() - tau.float()).bfloat16() == base
    assert merged.rounded_away == pytest.approx(float(tau.abs()[swallowed].sum() / tau.abs().sum()), rel=1e-4)
    assert "in rounding to the base model's BF16: save the base model as F32" in only(merged)


def test_a_scale_of_zero_loses_nothing_in_rounding(models: Models) -> None:
    assert models.merge(models.theta_0, models.tuned(), scale=0.0).rounded_away == 0.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_noise_of_a_narrower_type_is_estimated_within_a_tenth(models: Models, dtype: torch.dtype) -> None:
    merged = models.merge(models.theta_0, [theta.to(dtype) for theta in models.tuned()])
    noise = float((models.change() - models.mean).norm() / models.change().norm())
    told = int(only(merged).split("up to ")[1].split(" %")[0]) / 100
    assert told == pytest.approx(noise, abs=0.1)


def test_the_base_model_saved_again_in_a_narrower_type_is_all_noise(models: Models) -> None:
    merged = models.merge(models.theta_0, [models.theta_0.bfloat16()] * 2)
    assert any("makes up to 100 % of the change" in warning for warning in merged.warnings)


def test_a_base_model_that_was_rounded_afterwards_is_suspected(models: Models) -> None:
    merged = models.merge(models.theta_0.bfloat16(), models.tuned())
    assert any("give the base model that they began from" in warning for warning in merged.warnings)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_a_narrower_type_are_seen_in_a_wider_one(models: Models, dtype: torch.dtype) -> None:
    """As a checkpoint is that was loaded in BF16 and saved in float32."""
    merged = models.merge(models.theta_0, [theta.to(dtype).float() for theta in models.tuned()])
    noise = float((models.change() - models.mean).norm() / models.change().norm())
    warning = only(merged)
    assert "the fine-tuned models hold numbers of fewer digits than F32 has" in warning
    assert int(warning.split("up to ")[1].split(" %")[0]) / 100 == pytest.approx(noise, abs=0.1)


def test_a_base_model_of_few_digits_is_seen_in_a_wider_type(models: Models) -> None:
    merged = models.merge(models.theta_0.bfloat16().float(), models.tuned())
    assert "the base model holds numbers of fewer digits than F32 has: if it was rounded" in only(merged)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_models_that_were_all_rounded_are_suspected(models: Models, stored: torch.dtype) -> None:
    def rounded(theta: Tensor) -> Tensor:
        return theta.bfloat16().to(stored)

    merged = models.merge(rounded(models.theta_0), [rounded(theta) for theta in models.tuned()])
    assert any("all hold numbers of few digits: if they were rounded after" in told for told in merged.warnings)


def test_a_change_that_few_digits_can_tell_is_not_suspected(tmp_path: Path) -> None:
    """Of models that were trained in BF16, whose steps are of many units of it."""
    models = Models(tmp_path, change=5e-2)
    merged = models.merge(models.theta_0.bfloat16(), [theta.bfloat16() for theta in models.tuned()])
    assert merged.warnings == ()


def test_a_layer_of_ones_that_moved_is_no_rounded_one(tmp_path: Path) -> None:
    models = Models(tmp_path)
    ones = torch.ones(SIZE)
    assert models.merge(ones, [ones + tau for tau in models.taus]).warnings == ()


def test_a_narrower_type_that_holds_the_base_model_brings_no_noise(models: Models) -> None:
    base = models.theta_0.bfloat16().float()
    assert models.merge(base, [(base * (1 + share)).bfloat16() for share in (0.1, 0.2)]).warnings == ()


def test_a_large_change_is_not_suspected_for_its_types(tmp_path: Path) -> None:
    models = Models(tmp_path, change=2e-3)
    assert models.merge(models.theta_0, [theta.bfloat16() for theta in models.tuned()]).warnings == ()


@pytest.mark.parametrize(
    ("shifts", "scale", "cause"),
    [
        ([1.0, -1.0], 1.0, "the merged task vector is zero"),
        ([1.0, 2.0], 0.0, "the scale is 0"),
        ([1e-9, 2e-9], 1.0, "rounding to its type takes all of the change back"),
    ],
)
def test_a_result_that_is_the_base_model_is_said_with_its_cause(
    models: Models, shifts: list[float], scale: float, cause: str
) -> None:
    base = torch.full((8,), 1e-3).bfloat16()
    merged = models.merge(base, [base.float() + shift for shift in shifts], scale=scale)
    assert f"the result is the base model, because {cause}: nothing was unlearned" in only(merged)


def test_the_base_model_among_the_tuned_is_named(models: Models) -> None:
    merged = models.merge(models.theta_0, [models.theta_0, *models.tuned()])
    assert "tuned0.safetensors is the base model" in merged.warnings[0]
    assert "the merged task vector is zero" in merged.warnings[1]


def test_a_model_that_was_given_twice_is_named(models: Models) -> None:
    first, second, _ = models.tuned()
    warning = only(models.merge(models.theta_0, [first, second, first]))
    assert "tuned0.safetensors and" in warning
    assert "tuned2.safetensors are the same model: it counts 2 times" in warning


def test_models_that_differ_in_one_element_are_two(models: Models) -> None:
    first = models.tuned()[0]
    other = first.clone()
    other[-1] += 1e-3
    assert models.merge(models.theta_0, [first, other]).warnings == ()


def test_strict_makes_a_warning_an_error_and_writes_nothing(models: Models) -> None:
    (models.folder / "out.safetensors").write_text("old")
    with pytest.raises(MergeError, match=r"it counts 3 times\. Nothing was written"):
        models.merge(models.theta_0, models.tuned()[:1] * 3, strict=True)
    assert (models.folder / "out.safetensors").read_text() == "old"


def test_files_of_whole_numbers_alone_are_not_called_the_base_model(tmp_path: Path) -> None:
    for name, last in (("base", 2), ("tuned", 3)):
        save_file({"ids": torch.tensor([1, last])}, tmp_path / f"{name}.safetensors")
    merged = merge_files(tmp_path / "base.safetensors", [tmp_path / "tuned.safetensors"], tmp_path / "out")
    assert "the result is the base model, because the merged task vector is zero" in only(merged)
