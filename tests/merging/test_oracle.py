"""The published algorithm (arXiv 2410.05583), restated plainly, beside a whole job. It shares no code with the library.

For each fine-tuned checkpoint: τᵢ = θᵢ − θ₀. Sum the τᵢ; sum their signs. Where |sum of signs| = N the merged element
is sum/N, else 0. θ(λ) = θ₀ − λ·merged, the λ with the lowest forget validation accuracy whose retain validation
accuracy is at least a share (published: 0.95) of the base model's.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.support import local_job

pytestmark = pytest.mark.slow

Tensors = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("oracle")
    whole = {"keep": local_job.KEEP, "curve": "full"}
    return folder, local_job.run(folder, keep_task_vectors=True, scale_search=whole)


def published_merge(folder: Path) -> tuple[dict[str, NDArray[np.bool_]], dict[str, NDArray[np.float64]]]:
    """The mask and the merged vector, in float64, by name."""
    points = sorted((folder / "out" / "points").iterdir())
    vectors: list[Tensors] = [load_file(point / "task_vector.safetensors") for point in points]
    masks, merged = {}, {}
    for name in vectors[0]:
        stacked = np.stack([vector[name] for vector in vectors]).astype(np.float64)
        masks[name] = np.abs(np.sign(stacked).sum(axis=0)) == len(vectors)
        merged[name] = np.where(masks[name], stacked.sum(axis=0) / len(vectors), 0.0)
    return masks, merged


def test_the_consensus_mask_is_the_published_one_to_the_bit(job: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = job
    masks, _ = published_merge(folder)
    ours = load_file(folder / "out" / "merged" / "task_vector.safetensors")

    assert all(np.array_equal(ours[name] != 0, mask) for name, mask in masks.items())
    assert 0 < sum(mask.sum() for mask in masks.values()) < sum(mask.size for mask in masks.values())


def test_the_unlearned_weights_are_the_published_ones_within_float32_rounding(
    job: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = job
    _, merged = published_merge(folder)
    base = load_file(folder / "model" / "open_clip_model.safetensors")
    ours = load_file(folder / "out" / "unlearned" / "open_clip_model.safetensors")

    assert result["scale"] > 0
    for name, theta_0 in base.items():
        step = result["scale"] * merged.get(name, np.zeros(()))
        # Three roundings of half a unit each: of the mean, of the product, of the difference.
        allowed = 2**-24 * (2 * np.abs(step) + np.abs(theta_0) + np.abs(step))
        assert (np.abs(ours[name] - (theta_0.astype(np.float64) - step)) <= allowed).all(), name


def test_only_the_image_tower_takes_part(job: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = job
    base = load_file(folder / "model" / "open_clip_model.safetensors")
    ours = load_file(folder / "out" / "unlearned" / "open_clip_model.safetensors")

    frozen = [name for name in base if not name.startswith("visual.")]
    assert frozen
    assert all(base[name].tobytes() == ours[name].tobytes() for name in frozen)


def test_the_scale_is_the_one_that_the_published_rule_takes_from_the_curve(
    job: tuple[Path, dict[str, Any]],
) -> None:
    _, result = job
    curve = result["methods"]["negmerge"]["curve"]
    floor = local_job.KEEP * result["methods"]["base"]["validation"]["retain"]["accuracy"]

    allowed = [point for point in curve if point["retain"]["accuracy"] >= floor]
    lowest = min(point["forget"]["accuracy"] for point in allowed)
    first = next(point for point in allowed if point["forget"]["accuracy"] == lowest)
    assert result["scale"] == first["scale"]
