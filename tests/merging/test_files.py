"""Merging weight files gives the bits of a job's merge, or a clear error and nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from negmerge.checkpoints.files import file_digest, load_tensors, save_tensors
from negmerge.checkpoints.tensors import digest, is_buffer
from negmerge.errors import CheckpointError, Interrupted, MergeError, NegmergeError, TensorError
from negmerge.merging import files as filemerge
from negmerge.merging import pieces
from negmerge.merging.files import merge_files
from negmerge.merging.partial import Partial
from negmerge.merging.summaries import TensorSummary, inspect_file
from negmerge.merging.vectors import apply_scale, task_vector
from negmerge.spec import job as spec

Weights = dict[str, Tensor]


def weights(seed: int = 0, dtype: torch.dtype = torch.float32) -> Weights:
    """A model with all that may come: a scalar, an empty tensor, buffers, zeros of both signs, another type."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv.weight": torch.randn(4, 3, 2, 2, generator=generator).to(dtype),
        "zeros": torch.tensor([0.0, -0.0, 0.0, -0.0]).to(dtype),
        "scale": torch.randn((), generator=generator).to(dtype),
        "empty": torch.zeros(0, 3, dtype=dtype),
        "double": torch.randn(5, generator=generator, dtype=torch.float64),
        "bn.running_mean": torch.randn(4, generator=generator),
        "bn.num_batches_tracked": torch.tensor(17),
        "position_ids": torch.arange(3),
    }


def fine_tuned(base: Mapping[str, Tensor], seed: int) -> Weights:
    """Every float moved a little, some elements not at all."""
    generator = torch.Generator().manual_seed(seed)
    tuned = {}
    for name, theta in base.items():
        step = torch.randn(theta.shape, generator=generator) * 0.01 + 0.01
        step[torch.rand(theta.shape, generator=generator) < 0.1] = 0
        tuned[name] = theta + step.to(theta.dtype) if theta.dtype.is_floating_point else theta + 5
    return tuned


class Files:
    """A base model and fine-tuned ones on disk, and where the merge goes."""

    def __init__(self, folder: Path, base: Weights, tuned: list[Weights]) -> None:
        self.weights, self.tuned_weights = base, tuned
        self.base, self.out = folder / "base.safetensors", folder / "out" / "merged.safetensors"
        self.out.parent.mkdir()
        save_file(base, self.base, {"format": "pt"})
        self.tuned = [folder / f"tuned{i}.safetensors" for i in range(len(tuned))]
        for path, one in zip(self.tuned, tuned, strict=True):
            save_file(one, path)

    def merge(self, **options: Any) -> filemerge.FileMerge:
        return merge_files(self.base, self.tuned, self.out, **options)

    def expected(self, method: str, scale: float = 1.0, **options: Any) -> Weights:
        """The same merge as a job does it: task vectors, Partial, apply_scale."""
        names = [name for name, theta in self.weights.items() if not is_buffer(name, theta.dtype)]
        base = {name: self.weights[name] for name in names}
        partial = Partial([method], base, spec.Merge(**options))
        for i, tuned in enumerate(self.tuned_weights):
            partial.add(i, task_vector(tuned, base, names))
        merged = partial.result(method)
        return {
            name: apply_scale(theta, merged[name], scale) if name in merged else theta
            for name, theta in self.weights.items()
        }


@pytest.fixture
def files(tmp_path: Path) -> Files:
    base = weights()
    return Files(tmp_path, base, [fine_tuned(base, seed) for seed in (1, 2, 3)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", ["negmerge", "uniform", "magmax", "ties"])
def test_a_file_has_the_bits_of_a_jobs_merge(tmp_path: Path, method: str, dtype: torch.dtype) -> None:
    base = weights(dtype=dtype)
    files = Files(tmp_path, base, [fine_tuned(base, seed) for seed in (1, 2, 3)])

    files.merge(method=method, scale=0.85)

    assert digest(load_tensors(files.out)) == digest(files.expected(method, 0.85))


@pytest.mark.parametrize("method", ["negmerge", "ties"])
def test_pieces_of_a_tensor_are_merged_as_the_whole(files: Files, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_LONGEST", 3)
    files.merge(method=method, agreement=0.6, density=0.3)
    assert digest(load_tensors(files.out)) == digest(files.expected(method, agreement=0.6, density=0.3))


def test_task_arithmetic_subtracts_the_one_task_vector(tmp_path: Path) -> None:
    base = weights()
    files = Files(tmp_path, base, [fine_tuned(base, 1)])

    files.merge(method="task_arithmetic", scale=0.5)

    tau = files.tuned_weights[0]["conv.weight"] - base["conv.weight"]
    assert torch.equal(load_tensors(files.out)["conv.weight"], base["conv.weight"] - tau * 0.5)


def test_models_fine_tuned_in_float32_are_merged_into_a_half_precision_base(tmp_path: Path) -> None:
    base = weights(dtype=torch.bfloat16)
    masters = {name: theta.float() if theta.dtype == torch.bfloat16 else theta for name, theta in base.items()}
    files = Files(tmp_path, base, [fine_tuned(masters, seed) for seed in (1, 2)])

    files.merge()

    assert digest(load_tensors(files.out)) == digest(files.expected("negmerge"))


def test_scale_zero_gives_the_base_model_back_to_the_bit(files: Files) -> None:
    files.merge(scale=0.0)
    assert digest(load_tensors(files.out)) == digest(files.weights)


def test_buffers_are_the_base_models(files: Files) -> None:
    files.merge()
    merged = load_tensors(files.out)
    for name in ("bn.running_mean", "bn.num_batches_tracked", "position_ids"):
        assert torch.equal(merged[name], files.weights[name])


def test_the_file_drops_in_where_the_base_model_was(files: Files) -> None:
    files.merge(scale=0.0)
    assert files.out.read_bytes() == files.base.read_bytes()


def test_the_merge_tells_the_files_digest(files: Files) -> None:
    assert files.merge().digest == file_digest(files.out)


def test_the_merge_tells_the_consensus_by_tensor(files: Files) -> None:
    consensus = files.merge().consensus
    assert consensus is not None
    names = [name for name, theta in files.weights.items() if not is_buffer(name, theta.dtype)]
    signs = {n: sum((t[n].float() - files.weights[n].float()).sign() for t in files.tuned_weights) for n in names}
    agreed = {name: int((torch.as_tensor(votes).abs() == 3).sum()) for name, votes in signs.items()}
    sizes = {name: files.weights[name].numel() for name in names}
    assert consensus.tensors == {name: agreed[name] / max(sizes[name], 1) for name in names}
    assert consensus.share == sum(agreed.values()) / sum(sizes.values())


def test_other_methods_have_no_consensus(files: Files) -> None:
    assert files.merge(method="uniform").consensus is None


def test_the_order_of_the_models_changes_no_bit(files: Files) -> None:
    first = files.merge().digest
    files.tuned.reverse()
    assert files.merge().digest == first


def test_shards_are_merged_as_one_file(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    folder.mkdir()
    names = list(files.weights)
    for shard, part in enumerate((names[::2], names[1::2])):
        save_tensors({name: files.tuned_weights[0][name] for name in part}, folder / f"{shard}.safetensors")
    places = {name: f"{i % 2}.safetensors" for i, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(f'{{"weight_map": {places}}}'.replace("'", '"'))
    from_files = files.merge().digest
    files.tuned[0] = folder

    assert files.merge().digest == from_files


def test_progress_ends_where_it_said(files: Files) -> None:
    for method in ("negmerge", "ties"):
        steps: list[tuple[int, int]] = []
        files.merge(method=method, on_step=lambda step, total, _, steps=steps: steps.append((step, total)))
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


# What is refused: the error names what to look at, an existing file stays, and nothing is left beside it.


def refused(files: Files, error: type[NegmergeError], match: str, **options: Any) -> None:
    files.out.write_text("old")
    with pytest.raises(error, match=match):
        files.merge(**options)
    assert files.out.read_text() == "old"
    assert list(files.out.parent.iterdir()) == [files.out]


def rewrite(files: Files, change: Callable[[Weights], object], model: int = 1) -> None:
    tuned = dict(files.tuned_weights[model])
    change(tuned)
    save_file(tuned, files.tuned[model])


def test_a_missing_tensor_is_named(files: Files) -> None:
    rewrite(files, lambda tuned: tuned.pop("scale"))
    refused(files, TensorError, r"'scale': is missing from .*tuned1")


def test_an_extra_tensor_is_named(files: Files) -> None:
    rewrite(files, lambda tuned: tuned.update(more=torch.ones(1)))
    refused(files, TensorError, r"'more': is in .*tuned1.* but not in the base model")


def test_a_misshapen_tensor_is_named(files: Files) -> None:
    rewrite(files, lambda tuned: tuned.update(zeros=torch.ones(2, 2)))
    refused(files, TensorError, r"'zeros': has the shape \[2, 2\] in .*tuned1.*, but \[4\] in the base model")


def test_a_misshapen_buffer_is_named(files: Files) -> None:
    rewrite(files, lambda tuned: tuned.update(position_ids=torch.arange(4)))
    refused(files, TensorError, "'position_ids'")


def test_a_tensor_of_another_kind_is_named(files: Files) -> None:
    rewrite(files, lambda tuned: tuned.update(zeros=torch.ones(4, dtype=torch.int32)))
    refused(files, TensorError, r"'zeros': is I32 in .*tuned1.*, but F32 in the base model")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -8.5])
@pytest.mark.parametrize("method", ["negmerge", "ties"])
def test_a_value_out_of_range_is_named_by_tensor_and_file(files: Files, value: float, method: str) -> None:
    rewrite(files, lambda tuned: tuned.update(zeros=torch.tensor([0, 0, 0, value])))
    refused(files, TensorError, "'zeros': is not finite in .*tuned1", method=method)


@pytest.mark.parametrize("name", ["zeros", "bn.running_mean"])
def test_a_value_of_the_base_model_that_is_not_finite_is_named(files: Files, name: str) -> None:
    save_file(files.weights | {name: torch.tensor([0, 0, 0, float("nan")])}, files.base)
    refused(files, TensorError, rf"'{name}': holds a NaN or an infinity in .*base")


def test_a_buffer_that_is_not_finite_is_named(files: Files) -> None:
    rewrite(files, lambda tuned: tuned.update({"bn.running_mean": torch.full((4,), float("inf"))}))
    refused(files, TensorError, r"'bn\.running_mean': holds a NaN or an infinity in .*tuned1")


def test_a_result_out_of_its_types_range_is_named(tmp_path: Path) -> None:
    base = {"w": torch.tensor([60000.0], dtype=torch.float16)}
    files = Files(tmp_path, base, [{"w": torch.tensor([59998.0])}])
    refused(files, TensorError, "'w': leaves the range of F16 at scale 5000", scale=5000)


def test_a_file_that_is_cut_off_is_named(files: Files) -> None:
    files.tuned[1].write_bytes(files.tuned[1].read_bytes()[:-10])
    refused(files, CheckpointError, r"tuned1\.safetensors is cut off")


def test_a_file_that_is_cut_off_while_it_is_read_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_LONGEST", 1)

    def cut(_step: int, _total: int, _loss: float | None) -> None:
        files.tuned[1].write_bytes(b"")

    refused(files, CheckpointError, r"tuned1\.safetensors was cut off while it was read", on_step=cut)


def test_a_pickle_is_refused(files: Files) -> None:
    torch.save(files.tuned_weights[1], files.tuned[1])
    refused(files, CheckpointError, "never a pickle")


def test_being_stopped_leaves_nothing_behind(files: Files) -> None:
    def stop(_step: int, _total: int, _loss: float | None) -> None:
        raise Interrupted("enough")

    refused(files, Interrupted, "enough", on_step=stop)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "greedy"}, "'greedy' cannot be merged here"),
        ({"method": "task_arithmetic"}, "takes one fine-tuned model, not 3"),
        ({"scale": float("nan")}, "the scale is nan"),
        ({"agreement": 0.0}, "agreement is 0.0"),
        ({"density": 1.5}, r"density is 1\.5"),
    ],
)
def test_an_option_that_cannot_be_is_refused(files: Files, options: dict[str, Any], match: str) -> None:
    refused(files, MergeError, match, **options)


def test_no_model_at_all_is_refused(files: Files) -> None:
    files.tuned.clear()
    refused(files, MergeError, "no fine-tuned model")


def test_a_folder_is_not_overwritten(files: Files) -> None:
    files.out.mkdir()
    with pytest.raises(CheckpointError, match="is a folder"):
        files.merge()


def test_what_is_no_file_is_refused_before_a_model_is_read(files: Files) -> None:
    os.mkfifo(files.out)
    files.tuned[0].unlink()
    with pytest.raises(CheckpointError, match="is a pipe: name the file to write"):
        files.merge()


def test_a_folder_that_is_not_there_is_named(files: Files) -> None:
    files.out = files.out.parent / "gone" / "m.safetensors"
    with pytest.raises(CheckpointError, match="cannot be written: No such file"):
        files.merge()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_models(tmp_path: Path) -> None:
    base = {"w": torch.zeros(6_000_000)}
    save_tensors(base, tmp_path / "base.safetensors")
    for i in range(8):
        save_tensors({"w": torch.full((6_000_000,), 0.5 + i)}, tmp_path / f"{i}.safetensors")
    code = f"""
import resource
from pathlib import Path
from negmerge.merging.files import merge_files
folder = Path({str(tmp_path)!r})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
merge_files(folder / "base.safetensors", [folder / f"{{i}}.safetensors" for i in range(8)], folder / "out.safetensors")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 60_000  # KiB; all eight together are 190,000
    assert load_tensors(tmp_path / "out.safetensors")["w"][-1].item() == -4.0


# Looking into a file.


def test_a_file_is_summed_up_tensor_by_tensor(tmp_path: Path) -> None:
    tensors = {
        "a": torch.tensor([[3.0, 0.0], [-4.0, 0.0]]),
        "b": torch.tensor([2.0, -0.0], dtype=torch.bfloat16),
        "c": torch.zeros(0, 2, dtype=torch.float16),
        "n": torch.tensor([1, 2, 2, 0]),
    }
    save_tensors(tensors, tmp_path / "m.safetensors")

    found = {summary.name: summary for summary in inspect_file(tmp_path / "m.safetensors")}

    assert found == {
        "a": TensorSummary("a", "F32", (2, 2), 0.5, 5.0),
        "b": TensorSummary("b", "BF16", (2,), 0.5, 2.0),
        "c": TensorSummary("c", "F16", (0, 2), 0.0, 0.0),
        "n": TensorSummary("n", "I64", (4,), 0.75, 3.0),
    }
