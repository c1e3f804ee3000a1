"""Models as others arrange them: a body and a head apart, averages' counts, the Swin transformers of Microsoft."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

Tensors = dict[str, Tensor]

_COUNTS = ("n_averaged",)
"""What torch's AveragedModel counts beside the weights."""
_DERIVED = ("relative_position_index", "attn_mask")
"""Numbers that follow from a Swin transformer's sizes, which files of old have among the weights."""
_MERGE = re.compile(r"layers\.(\d+)\.downsample\.")


def without_counts(state: Tensors, expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    """Without a count of averaged models."""
    left_out = [name for name in _COUNTS if name in state and name not in expected and state[name].ndim == 0]
    kept = {name: tensor for name, tensor in state.items() if name not in left_out}
    return kept, [f"left out {name!r}, how many models were averaged" for name in left_out]


def assembled(state: Tensors, expected: Mapping[str, Tensor], body: str) -> tuple[Tensors, list[str]]:
    """A model whose parts are called otherwise than all of it: its body under a prefix, and the head as one layer.

    body: the prefix with most of the architecture's names; "" for none. Done only where nothing else is there and the
    layer has the shapes of the only one that is missing.
    """
    inside = {name.removeprefix(body): tensor for name, tensor in state.items() if name.startswith(body)}
    missing = [name for name in expected if name not in inside]
    others = {name: tensor for name, tensor in state.items() if not name.startswith(body)}
    if not body or not others or _layers(missing) != 1 or _layers(others) != 1:
        return state, []
    head = {name.rpartition(".")[2]: tensor for name, tensor in others.items()}
    wanted = {name.rpartition(".")[2]: expected[name].shape for name in missing}
    if {name: tensor.shape for name, tensor in head.items()} != wanted:
        return state, []
    ours, theirs = missing[0].rpartition(".")[0], next(iter(others)).rpartition(".")[0]
    told = f"took {body!r} off the names of the body, and {theirs!r} as {ours!r}"
    return inside | {f"{ours}.{name}": tensor for name, tensor in head.items()}, [told]


def swin_of_old(state: Tensors, expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    """A Swin transformer whose patches are merged behind a stage, not before the next, and without derived numbers."""
    names = {name: _MERGE.sub(lambda found: f"layers.{int(found[1]) + 1}.downsample.", name) for name in state}
    moved = [name for name, new in names.items() if name != new]
    done = []
    if moved and all(_fits(state[name], expected.get(names[name])) for name in moved):
        state = {names[name]: tensor for name, tensor in state.items()}
        done.append(f"moved {len(moved)} tensors of merged patches to the stage behind them")
    derived = [name for name in state if name.endswith(_DERIVED) and name not in expected]
    if derived and any(_MERGE.match(name) for name in expected):
        state = {name: tensor for name, tensor in state.items() if name not in derived}
        done.append(f"left out {len(derived)} tensors of places and masks, which follow from the sizes")
    return state, done


def _layers(names: "list[str] | Tensors") -> int:
    """How many layers the tensors are of."""
    return len({name.rpartition(".")[0] for name in names})


def _fits(tensor: Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and tensor.shape == other.shape
