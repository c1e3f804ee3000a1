"""Tensors' names brought to those of an architecture: what wrappers put into them, what others call them."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from negmerge.checkpoints.reparametrised import check_parametrisations, unmasked
from negmerge.errors import TensorError
from negmerge.models.arrangements import assembled, swin_of_old, without_counts

HEADS = ("fc", "head", "classifier", "linear", "last_linear", "head.fc")
"""What classifiers' last layers are called."""
PARTS = {"shortcut": "downsample"}
"""What others call a part, and what timm calls it; kuangliu's ResNets for CIFAR have shortcuts."""
WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "module")
"""What torch.compile, activation checkpointing, FSDP and DataParallel put into the names of what they wrap."""

_COUNTER = ".num_batches_tracked"

Tensors = dict[str, Tensor]


def fitted(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    """The tensors by the names of ``expected`` as far as that is plain, and what was done to them, in words.

    A prefix that all names share and the architecture's have not is taken off, and the name of a wrapper out of the
    middle. A body and a head of other names are put together (``arrangements``). Masks of pruning are applied. A head
    or a part of another usual name is renamed, where it has the shapes of the one that is missing. BatchNorm's
    counters, which files of old do not have and nothing here reads, begin at 0.
    Raises TensorError for a layer that is kept as what a parametrisation makes it of.
    """
    found, done = without_counts(dict(state), expected)
    while prefix := _shared_prefix(found, expected):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
        done.append(f"took {prefix!r} off all names")
    found, masked = unmasked(found)
    done += masked
    steps: tuple[Callable[[Tensors, Mapping[str, Tensor]], tuple[Tensors, list[str]]], ...]
    steps = (_assembled, _unwrapped, swin_of_old, _with_our_parts, _with_our_head, _counted)
    for step in steps:
        found, told = step(found, expected)
        done += told
    check_parametrisations(found, expected)
    return found, done


def check_nearest(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise TensorError for the first tensor that is missing, where one of its shape has nearly its name."""
    missing = next((name for name in expected if name not in state), None)
    if missing is None:
        return
    shape = expected[missing].shape
    others = [name for name, tensor in state.items() if name not in expected and tensor.shape == shape]
    if near := difflib.get_close_matches(missing, others, 1):
        told = f"is missing: the nearest name of a tensor with its shape is {near[0]!r}"
        raise TensorError(missing, f"{told}. Where they are the same, bring all under the architecture's names first")


def check_named(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise TensorError where all tensors are called by places in sequences, which says nothing of what they are."""
    first = next(iter(state), "")
    if first and all(name[0].isdecimal() for name in state) and not any(name[0].isdecimal() for name in expected):
        raise TensorError(
            first,
            "is called by its place in a sequence, as fastai's learners and nn.Sequential call all of theirs, and "
            "fastai's heads are no architecture's: train the architecture itself, or save its weights under its names",
        )


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


def _assembled(state: Tensors, expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    return assembled(state, expected, prefix_of(state, expected))


def _unwrapped(state: Tensors, expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    """Without wrappers' names in the middle of others, where the architecture has none of that name."""
    ours = {part for name in expected for part in name.split(".")}
    words = [word for word in WRAPPERS if word not in ours and any(f".{word}." in name for name in state)]
    names = {name: _without(name, words) for name in state}
    wrapped = [name for name, plain in names.items() if name != plain]
    if not any(names[name] in expected for name in wrapped) or len(set(names.values())) < len(names):
        return state, []
    told = f"took {', '.join(map(repr, words))} out of {len(wrapped)} names"
    return {names[name]: tensor for name, tensor in state.items()}, [told]


def _without(name: str, words: Collection[str]) -> str:
    """The name without parts of it, of which the first stays."""
    first, *others = name.split(".")
    return ".".join([first, *(part for part in others if part not in words)])


def _with_our_parts(state: Tensors, expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    """With what the architecture calls a part, where each tensor of it comes to one that is missing, of its shape."""
    done = []
    for theirs, ours in PARTS.items():
        names = {name: re.sub(rf"(?<=\.){theirs}(?=\.)", ours, name) for name in state}
        names = {name: renamed for name, renamed in names.items() if name != renamed}
        if names and all(new not in state and _same_shape(state[old], expected.get(new)) for old, new in names.items()):
            state = {names.get(name, name): tensor for name, tensor in state.items()}
            done.append(f"renamed {theirs!r} to {ours!r} in {len(names)} names")
    return state, done


def _same_shape(tensor: Tensor, other: Tensor | None) -> bool:
    return other is not None and tensor.shape == other.shape


def _with_our_head(state: Tensors, expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    """With the architecture's own head, where it is missing and one layer of another usual name has its shapes."""
    ours = next((head for head in HEADS if _shapes(expected, head) and not _shapes(state, head)), None)
    if ours is None:
        return state, []
    layers = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    layers = [layer for layer in layers if _may_be_head(layer, state) and not _shapes(expected, layer)]
    fitting = [layer for layer in layers if _shapes(state, layer) == _shapes(expected, ours)]
    if len(fitting) != 1:
        return state, []
    renamed = {re.sub(rf"^{re.escape(fitting[0])}(?=\.)", ours, name): tensor for name, tensor in state.items()}
    return renamed, [f"renamed {fitting[0]!r} to {ours!r}"]


def _may_be_head(layer: str, state: Tensors) -> bool:
    """Whether a layer is called as heads are, or is all that a sequence of that name has, as beside a dropout."""
    head, _, number = layer.rpartition(".")
    if head in HEADS and number.isdecimal():
        return all(name.startswith(f"{layer}.") for name in state if name.startswith(f"{head}."))
    return layer in HEADS


def _shapes(state: Mapping[str, Tensor], layer: str) -> dict[str, torch.Size]:
    names = ("weight", "bias")
    return {name: state[f"{layer}.{name}"].shape for name in names if f"{layer}.{name}" in state}


def _counted(state: Tensors, expected: Mapping[str, Tensor]) -> tuple[Tensors, list[str]]:
    """With BatchNorm's counters, where all are of layers that are there."""
    counters = [name for name in expected if name.endswith(_COUNTER) and name not in state]
    if not counters or any(name.removesuffix(_COUNTER) + ".running_mean" not in state for name in counters):
        return state, []
    return state | dict.fromkeys(counters, torch.tensor(0)), [f"began {len(counters)} counters of BatchNorm at 0"]
