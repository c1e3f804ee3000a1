"""Tensors that are one in one file and two in another: merged where both are still the same, else named."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor

from negmerge.checkpoints.files import load_tensors
from negmerge.errors import TensorError
from negmerge.merging.files import merge_files


class Tied(torch.nn.Module):
    """An output layer that has the weight of the input layer."""

    def __init__(self, seed: int, tied: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.leave = torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False)
        self.leave.weight = self.enter.weight if tied else torch.nn.Parameter(self.enter.weight.detach().clone())
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(0.01 * seed)


def merged_of(tmp_path: Path, base: Tied, tuned: list[Tied]) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        save_model(base, str(tmp_path / "base"))
        for number, one in enumerate(tuned):
            save_model(one, str(tmp_path / str(number)))
    merge_files(tmp_path / "base", [tmp_path / str(number) for number in range(len(tuned))], tmp_path / "out")
    return load_tensors(tmp_path / "out")


def test_tensors_that_are_one_in_the_base_model_may_be_two_in_another(tmp_path: Path) -> None:
    merged = merged_of(tmp_path, Tied(0, tied=True), [Tied(1, tied=True), Tied(2, tied=False)])
    assert len(merged) == 1
    assert torch.allclose(merged.popitem()[1], Tied(0, tied=True).enter.weight - 0.015)


def test_tensors_that_are_two_in_the_base_model_may_be_one_in_another(tmp_path: Path) -> None:
    merged = merged_of(tmp_path, Tied(0, tied=False), [Tied(1, tied=True), Tied(2, tied=False)])
    assert merged.keys() == {"enter.weight", "leave.weight"}
    assert all(torch.allclose(theta, Tied(0, tied=True).enter.weight - 0.015) for theta in merged.values())


def test_tensors_that_were_one_and_have_gone_apart_are_named(tmp_path: Path) -> None:
    apart = Tied(1, tied=False)
    with torch.no_grad():
        apart.leave.weight += 0.1
    with pytest.raises(TensorError, match=r"is one with '.*' in the base model, and has values of its own in .*untie"):
        merged_of(tmp_path, Tied(0, tied=True), [apart])
