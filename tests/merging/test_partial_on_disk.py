"""A partial as a file: it comes back to the bit, and what is no partial of the merge is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from negmerge.checkpoints.files import save_tensors
from negmerge.errors import CheckpointError, MergeError, TensorError
from negmerge.merging.partial import Partial
from negmerge.spec import job as spec
from tests.support.task_vectors import (
    BASE,
    METHODS,
    PLAIN,
    SIZE,
    fingerprint,
    folded,
    single,
    vector,
)


@pytest.mark.slow
@pytest.mark.parametrize("points", [0, 3, 300])
def test_a_partial_comes_back_from_its_file_to_the_bit(tmp_path: Path, points: int) -> None:
    merge = spec.Merge(agreement=0.7, density=0.35)
    generator = np.random.default_rng(0)
    taus = generator.standard_normal((points + 2, SIZE)).tolist()
    partial = folded(taus[:points], merge=merge)
    partial.save(tmp_path / "p.safetensors")

    loaded = Partial.load(tmp_path / "p.safetensors", BASE, merge)

    assert (loaded.points, loaded.methods) == (partial.points, partial.methods)
    for one in (partial, loaded):  # both go on as if nothing had happened
        for i in (points, points + 1):
            one.add(i, vector(taus[i]), single(i))
    assert fingerprint(loaded) == fingerprint(partial)


def test_a_partial_that_was_loaded_is_saved_as_the_same_file(tmp_path: Path) -> None:
    saved = folded([[0.5] * SIZE, [0.25] * SIZE]).save(tmp_path / "one.safetensors")
    again = Partial.load(tmp_path / "one.safetensors", BASE, PLAIN).save(tmp_path / "other.safetensors")
    assert again == saved


def test_the_same_partial_is_the_same_file(tmp_path: Path) -> None:
    taus = np.random.default_rng(0).standard_normal((4, SIZE)).tolist()
    one = folded(taus)
    other = Partial(METHODS, BASE, PLAIN)
    for i in (2, 0, 3, 1):
        other.add(i, vector(taus[i]), single(i))
    assert one.save(tmp_path / "one.safetensors") == other.save(tmp_path / "other.safetensors")


def test_a_partial_takes_the_room_of_its_parts_and_no_more(tmp_path: Path) -> None:
    base = {"w": torch.zeros(10_000)}
    partial = Partial(["negmerge", "uniform"], base, PLAIN)
    partial.add(0, {"w": torch.ones(10_000)})
    partial.save(tmp_path / "p.safetensors")
    assert (tmp_path / "p.safetensors").stat().st_size < 10 * 10_000 + 1_000


def test_a_single_that_no_method_asks_for_is_not_kept(tmp_path: Path) -> None:
    with_it, without = (Partial(["negmerge"], BASE, PLAIN) for _ in range(2))
    with_it.add(0, vector([0.5] * SIZE), single(0))
    without.add(0, vector([0.5] * SIZE))
    assert with_it.save(tmp_path / "with") == without.save(tmp_path / "without")


def test_a_loaded_partial_does_not_need_its_file_any_more(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    partial = folded([[0.5] * SIZE])
    partial.save(path)
    loaded = Partial.load(path, BASE, PLAIN)
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert fingerprint(loaded) == fingerprint(partial)


def test_a_partial_made_with_other_options_is_refused(tmp_path: Path) -> None:
    folded([[0.5] * SIZE]).save(tmp_path / "p.safetensors")
    with pytest.raises(MergeError, match="other merge options"):
        Partial.load(tmp_path / "p.safetensors", BASE, spec.Merge(density=0.5))


def test_a_partial_of_another_model_is_refused_by_tensor(tmp_path: Path) -> None:
    folded([[0.5] * SIZE]).save(tmp_path / "p.safetensors")
    with pytest.raises(
        TensorError, match=r"visual\.b': has no \w+ of its size in the partial, which is another model's"
    ):
        Partial.load(tmp_path / "p.safetensors", BASE | {"visual.b": torch.zeros(9)}, PLAIN)


def test_a_weights_file_is_no_partial(tmp_path: Path) -> None:
    save_tensors({"w": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="does not hold a partial"):
        Partial.load(tmp_path / "w.safetensors", BASE, PLAIN)


def test_a_partial_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    folded([[0.5] * SIZE]).save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="cut off"):
        Partial.load(path, BASE, PLAIN)
