"""Weights stored as parts that make them: a pruned layer's are put together, others are called by what undoes them."""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from negmerge.errors import TensorError

_ORIGINAL, _MASK = "_orig", "_mask"


def unmasked(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Each ``weight_orig`` of torch.nn.utils.prune times its ``weight_mask``, as ``weight``; what was done, in words.

    It is to the bit what ``prune.remove`` leaves.
    """
    pruned = [name.removesuffix(_MASK) for name in state if name.endswith(_MASK)]
    pruned = [name for name in pruned if _has_mask(state, name)]
    if not pruned:
        return dict(state), []
    names = {name + _ORIGINAL: name for name in pruned}
    masks = {name + _MASK for name in pruned}
    found = {names.get(name, name): tensor for name, tensor in state.items() if name not in masks}
    for name in pruned:
        found[name] = state[name + _MASK].to(found[name].dtype) * found[name]
    return found, [f"applied the masks of {len(pruned)} pruned tensors"]


def _has_mask(state: Mapping[str, Tensor], name: str) -> bool:
    """Whether there is what the mask is of. Neither may be larger than its bytes, as with a stride of 0."""
    original, mask = state.get(name + _ORIGINAL), state[name + _MASK]
    if name in state or original is None or original.shape != mask.shape:
        return False
    return all(one.numel() * one.element_size() <= one.untyped_storage().nbytes() for one in (original, mask))


def check_parametrisations(names: Collection[str], expected: Collection[str]) -> None:
    """Raise TensorError where a layer's weight is kept as what a parametrisation makes it of, with what undoes that."""
    for name in names:
        last = name.rpartition(".")[2]
        if found := re.match(r"(.*\.|)parametrizations\.(\w+)\.", name):
            undone = f"torch.nn.utils.parametrize.remove_parametrizations(layer, {found[2]!r})"
            told = found[1] + found[2]
        elif last.endswith(_ORIGINAL) and f"{name.removesuffix(_ORIGINAL)}_u" in names:
            undone, told = "torch.nn.utils.remove_spectral_norm(layer)", name.removesuffix(_ORIGINAL)
        elif last.endswith("_g") and f"{name.removesuffix('_g')}_v" in names:
            undone, told = "torch.nn.utils.remove_weight_norm(layer)", name.removesuffix("_g")
        else:
            continue
        if name not in expected:
            raise TensorError(
                told, f"is kept as what makes it ({name!r}): save the model after {undone} on each such layer"
            )
