"""What an answer costs, counted before there are weights: a model of few weights must not be able to fill or stop a
machine, as one does that lets each pixel look at each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from negmerge.errors import ModelError
from negmerge.models.network import UNBUILDABLE

MAX_STEPS = 64_000
"""Operations of torch, each of which takes Python a while. sequencer2d_l has 44,000, for each step of its LSTMs, and
all of timm's but sequencers have at most 6,017 (vit_5b_patch16_sapiens2)."""


@dataclass(frozen=True)
class Limit:
    """The most that one answer may take. What a model has in weights it may also use, hence the shares of them.

    flops: of products of matrices and convolutions. written: bytes of all tensors on the way. held: bytes of those that
    are there at one time. Attention counts as if all that places say of each other were held; torch mostly need not.
    """

    flops: float
    flops_a_weight: float
    written: float
    written_a_weight: float
    held: float

    def part(self, share: int) -> "Limit":
        """A ``share``-th of all."""
        return Limit(*(value / share for value in vars(self).values()))


IMAGE = Limit(2e11, 20_000, 8 * 2**30, 512, 4 * 2**30)
"""What timm and open_clip have most of, in all their architectures at their own image sizes: 36 TFLOP and 272 GiB
written (vit_5b_patch16_sapiens2, 1,024 pixels), 3.1 GiB held (samvit_huge_patch16), and for each weight 13,100 FLOP
(vit_so400m_patch14_siglip_gap_896) and 341 bytes (samvit_base_patch16)."""
PROMPT = IMAGE.part(8)
"""Heads are made of hundreds. The most of open_clip's take 0.11 TFLOP, 0.5 GiB written and 6 MiB held."""


def check_cost(shape: torch.nn.Module, answer: Callable[[], object], limit: Limit, what: str) -> None:
    """Have a module without memory answer on tensors without memory, and count.

    Raises ModelError where ``what`` it is to do costs more than the limit, at the step that is too much, or fails.
    """
    count = _Count(limit, sum(parameter.numel() for parameter in shape.parameters()), what)
    shape.eval()
    try:
        # no inference_mode, under which torch does not show the parts of an operation
        with torch.device("meta"), torch.no_grad(), count:
            answer()
    except UNBUILDABLE as error:
        raise ModelError(f"the model cannot {what}: {error}") from error


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what each operation costs. Raises ModelError once that is too much."""

    def __init__(self, limit: Limit, weights: int, what: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._flops, self._most_flops = 0, limit.flops + weights * limit.flops_a_weight
        self._written, self._most_written = 0, limit.written + weights * limit.written_a_weight
        self._held: dict[Any, int] = {}
        self._held_at_most, self._most_held = 0, limit.held
        self._steps, self._what = 0, what

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._steps += 1
        counted = flop_registry.get(func._overloadpacket)
        self._flops += counted(*args, **(kwargs or {}), out_val=out) if counted else 0
        if not func.is_view:
            for tensor in tree_leaves(out):
                if isinstance(tensor, torch.Tensor):
                    self._add(tensor)
        self._check()
        return out

    def _add(self, tensor: torch.Tensor) -> None:
        self._written += tensor.nbytes
        storage, weak_reference = tensor.untyped_storage(), cast("Callable[[Any], Any]", StorageWeakRef)
        reference, size = weak_reference(storage), storage.nbytes()
        if reference not in self._held:  # it is there already where an operation works in place
            self._held[reference] = size
            self._held_at_most += size
        if self._held_at_most > self._most_held:
            self._held = {one: size for one, size in self._held.items() if not one.expired()}
            self._held_at_most = sum(self._held.values())

    def _check(self) -> None:
        for found, most, said in (
            (self._flops / 1e12, self._most_flops / 1e12, "TFLOP"),
            (self._written / 2**30, self._most_written / 2**30, "GiB of tensors on the way"),
            (self._held_at_most / 2**30, self._most_held / 2**30, "GiB of tensors at a time"),
            (self._steps, MAX_STEPS, "operations"),
        ):
            if found > most:
                raise ModelError(
                    f"to {self._what} takes the model more than {most:,.3g} {said}, which no real one of as many "
                    "weights needs: look at its sizes of images and patches, its widths and heads"
                )
