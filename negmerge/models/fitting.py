"""Tensors' names brought to those of an architecture: what wrappers put before them, what others call them."""

import re
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

HEADS = ("fc", "head", "classifier", "linear", "last_linear", "head.fc")
"""What classifiers' last layers are called."""

_COUNTER = ".num_batches_tracked"


def fitted(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by the names of ``expected`` as far as that is plain, and what was done to them, in words.

    A prefix that all names share and the architecture's have not is taken off. A head of another usual name is
    renamed, where it has the shapes of the one that is missing. BatchNorm's counters, which files of old do not have
    and nothing here reads, begin at 0.
    """
    done: list[str] = []
    found = dict(state)
    while prefix := _shared_prefix(found, expected):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
        done.append(f"took {prefix!r} off all names")
    if renamed := _head(found, expected):
        ours, theirs = renamed
        found = {re.sub(rf"^{re.escape(theirs)}(?=\.)", ours, name): tensor for name, tensor in found.items()}
        done.append(f"renamed {theirs!r} to {ours!r}")
    counters = [name for name in expected if name.endswith(_COUNTER) and name not in found]
    if counters and all(name.removesuffix(_COUNTER) + ".running_mean" in found for name in counters):
        found |= dict.fromkeys(counters, torch.tensor(0))
        done.append(f"began {len(counters)} counters of BatchNorm at 0")
    return found, done


def under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, without it. It ends where a part of a name does."""
    prefix = f"{prefix.removesuffix('.')}."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def prefix_of(names: Collection[str], expected: Collection[str]) -> str:
    """The prefix with which most of an architecture's names are among others; "" where there is none."""
    there, first = set(names), min(expected, default="")
    prefixes = [name.removesuffix(first) for name in names if first and name.endswith(f".{first}")]
    counts = {prefix: sum(prefix + name in there for name in expected) for prefix in prefixes}
    best = max(counts, key=lambda prefix: counts[prefix], default="")
    return best if best and 2 * counts[best] > len(expected) else ""


def _shared_prefix(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """The first part of all names, where the architecture has no name that begins so."""
    first = next(iter(state), "").partition(".")[0] + "."
    shared = bool(state) and all(name.startswith(first) for name in state)
    return first if shared and not any(name.startswith(first) for name in expected) else ""


def _head(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """The architecture's own head, which is missing, and one of another name that has its shapes and nothing needs."""
    shapes = {head: _shapes(expected, head) for head in HEADS}
    for ours in HEADS:
        if shapes[ours] and not _shapes(state, ours):
            for theirs in HEADS:
                if _shapes(state, theirs) == shapes[ours] and not _shapes(expected, theirs):
                    return ours, theirs
    return None


def _shapes(state: Mapping[str, Tensor], layer: str) -> dict[str, torch.Size]:
    names = ("weight", "bias")
    return {name: state[f"{layer}.{name}"].shape for name in names if f"{layer}.{name}" in state}
