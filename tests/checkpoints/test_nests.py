"""Where the weights lie in a checkpoint: which key is found, which is asked for, and how one is told."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from negmerge.checkpoints.foreign import read_state
from negmerge.errors import CheckpointError


def state(value: float = 0.0) -> dict[str, Tensor]:
    return {"conv.weight": torch.full((2, 3), value), "fc.bias": torch.full((2,), value)}


def saved(tmp_path: Path, document: Any) -> Path:
    torch.save(document, tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth"


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({0: state(0), 1: state(1)}, "1"),
        ({"models": [state(0), state(1)]}, "models.1"),
        ([state(0), state(1)], "1"),
        ((state(0), state(1)), "1"),
        ({"folds": {3: {"nets": [{"model": state(0)}, {"model": state(1)}]}}}, "folds.3.nets.1.model"),
        ({1: state(0), "1": state(1)}, "1"),
        ({True: state(1)}, "True"),
    ],
    ids=["folds", "a list", "only a list", "a tuple", "all of them", "a text goes before a number", "a truth"],
)
def test_a_key_is_told_by_its_text_and_a_place_in_a_list_by_its_number(tmp_path: Path, document: Any, key: str) -> None:
    assert read_state(saved(tmp_path, document), key)["fc.bias"].tolist() == [1, 1]


def test_a_key_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no key '2': there are 0, 1"):
        read_state(saved(tmp_path, {0: state(), 1: state()}), "2")


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        ({0: state(), 1: state()}, "0, 1"),
        ([state(), state()], "0, 1"),
        ({"models": [state(), state()]}, r"models\.0, models\.1"),
        ({"epoch": 3, "best_state": state()}, "best_state"),
        ({"trunk": {"base": {"deep": state()}}}, r"trunk\.base\.deep"),
    ],
)
def test_weights_that_are_not_under_a_usual_key_are_told_where_they_lie(
    tmp_path: Path, document: Any, keys: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"say with --key where it lies: {keys}$"):
        read_state(saved(tmp_path, document))


def test_an_optimizer_is_not_told_as_weights(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    torch.autograd.backward([layer(torch.ones(2)).sum()])
    optimizer.step()
    with pytest.raises(CheckpointError, match=r"where it lies: 0$"):
        read_state(saved(tmp_path, (state(), optimizer.state_dict())))


def test_means_and_deviations_of_pixels_are_no_weights(tmp_path: Path) -> None:
    beside = {"mean": torch.ones(3), "std": torch.ones(1, 3, 1, 1)}
    for name in ("normalization", "params"):
        file = saved(tmp_path, {"model": state(1), name: beside})
        assert read_state(file)["fc.bias"].tolist() == [1, 1]


def test_a_small_head_is_weights_all_the_same(tmp_path: Path) -> None:
    head = {"weight": torch.ones(1, 3), "bias": torch.ones(1)}
    with pytest.raises(CheckpointError, match="has weights under backbone, head"):
        read_state(saved(tmp_path, {"backbone": state(), "head": head}))


def test_parts_of_one_model_are_to_be_joined(tmp_path: Path) -> None:
    file = saved(tmp_path, {"backbone": state(), "head": {"weight": torch.ones(4, 3), "bias": torch.ones(4)}})
    told = "under backbone, head: say which with --key, or join them in one state dict where they are parts"
    with pytest.raises(CheckpointError, match=told):
        read_state(file)


def test_copies_of_one_model_are_not_to_be_joined(tmp_path: Path) -> None:
    average = {"n_averaged": torch.tensor(3)} | {f"module.{name}": tensor for name, tensor in state().items()}
    with pytest.raises(CheckpointError, match=r"under state_dict, swa_state_dict: say which with --key$"):
        read_state(saved(tmp_path, {"state_dict": state(), "swa_state_dict": average}))


def test_a_checkpoint_that_holds_itself_comes_to_an_end(tmp_path: Path) -> None:
    document: dict[str, Any] = {"w": torch.zeros(2, 2)}
    document["model"] = document
    with pytest.raises(CheckpointError, match="something of type dict as 'model'"):
        read_state(saved(tmp_path, document))


def test_what_is_there_many_times_is_looked_at_once(tmp_path: Path) -> None:
    """Ten names for each of nine levels: a thousand million ways to the tensors."""
    document: dict[str, Any] = state()
    for _ in range(9):
        document = dict.fromkeys("abcdefghij", document)
    with pytest.raises(CheckpointError, match=r"say with --key where it lies"):
        read_state(saved(tmp_path, document))


def test_what_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    document: dict[str, Any] = state()
    for _ in range(300):
        document = {"model": document}
    with pytest.raises(CheckpointError, match="something of type dict as 'model'"):
        read_state(saved(tmp_path, document))
