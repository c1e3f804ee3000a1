"""Some points of a sweep, added up for some methods: the commutative monoid that makes a merge exact.

However the points are split over partials, in whichever order these are combined, the result is the same to the last
bit: a job may run on any number of workers, and any of them may be killed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from negmerge.checkpoints.files import load_tensors, placement, save_tensors
from negmerge.checkpoints.tensors import Array
from negmerge.errors import CheckpointError, MergeError, TensorError
from negmerge.merging.accumulators import CHUNK, Accumulator, chunks
from negmerge.merging.methods import Balanced, NegMerge, TaskArithmetic, summed
from negmerge.merging.trimming import kept, kth_magnitude
from negmerge.merging.vectors import TaskVector, check
from negmerge.spec import job as spec
from negmerge.spec.consensus import Consensus
from negmerge.spec.sweep import MAX_POINTS

SINGLE = TaskArithmetic.name


@dataclass(frozen=True)
class Single:
    """What a point's own scale search found: its rank (``search.Choice.rank``, smaller is better) and its λ."""

    rank: tuple[float, ...]
    scale: float


@dataclass(frozen=True)
class _Best:
    """The best point so far; of equal ones that of the smallest index, so that "best" is a total order."""

    index: int
    single: Single
    vector: TaskVector

    @property
    def order(self) -> tuple[tuple[float, ...], int]:
        return (self.single.rank, self.index)


class Partial:
    """Some points of a sweep, added up for some methods.

    base: the tensors that take part, by name in θ₀'s order; only their names and shapes are used. merge: the
    spec's options. chunk: elements worked on at once; it changes no bit. Memory does not depend on how many
    points are added: 10 bytes an element for negmerge (12 from 256 points on), shared with uniform; magmax
    takes 4, ties 18 (20), task_arithmetic 4.
    """

    def __init__(
        self, methods: Sequence[str], base: Mapping[str, Tensor], merge: spec.Merge, *, chunk: int = CHUNK
    ) -> None:
        """Raises MergeError for a method that is not merged here."""
        self.methods = list(dict.fromkeys(methods))
        self.points: list[int] = []
        self._merge = merge
        self._shapes = {name: tensor.shape for name, tensor in base.items()}
        self._summed = {name: summed(name, merge) for name in self.methods if name != SINGLE}
        components = [component for method in self._summed.values() for component in method.components]
        sizes = {name: shape.numel() for name, shape in self._shapes.items()}
        self._accumulator = Accumulator(components, sizes, chunk)
        self._best: _Best | None = None

    def add(self, index: int, vector: TaskVector, single: Single | None = None) -> None:
        """Fold one point's τ. All of it is checked before any of it is added.

        Raises TensorError for a tensor missing, extra, misshapen or not float32, DivergedError for a τ that is
        not finite or a |τ| ≥ 8, and MergeError for a point added twice, more points than are exact, or no
        ``single`` where task arithmetic is among the methods.
        """
        self._check_shapes(vector)
        vector = {name: vector[name].detach().cpu() for name in self._shapes}
        check(vector)
        if SINGLE in self.methods and single is None:
            raise MergeError(f"point {index} comes without its own scale search, which {SINGLE} ranks it by")
        self._enlist([index])
        flat = {name: tau.reshape(-1).numpy() for name, tau in vector.items()}
        self._accumulator.add(flat, self._floor(flat))
        if SINGLE in self.methods and single is not None:
            candidate = _Best(index, single, vector)
            if self._best is None or candidate.order < self._best.order:
                copies = {name: tau.clone() for name, tau in vector.items()}
                self._best = _Best(index, single, copies)

    def combine(self, other: "Partial") -> None:
        """Take in another partial of the same merge; ``other`` stays as it is.

        Raises MergeError where a point is in both, or where methods, options or shapes differ.
        """
        same = (self._shapes, self.methods, self._options())
        if same != (other._shapes, other.methods, other._options()):
            raise MergeError("these partials belong to different merges: methods, options or shapes differ")
        self._enlist(other.points)
        self._accumulator.combine(other._accumulator)
        bests = [best for best in (self._best, other._best) if best is not None]
        self._best = min(bests, key=lambda best: best.order, default=None)

    def result(self, method: str) -> TaskVector:
        """τ* of one of the partial's methods; float32, shaped as θ₀, on the CPU.

        Raises MergeError where no point was added, or the partial was not made for the method.
        """
        self._require(method)
        if method == SINGLE:
            assert self._best is not None  # a point was added, and add ranks each
            return {name: tau.clone() for name, tau in self._best.vector.items()}
        merging, points, pieces = self._summed[method], len(self.points), self._accumulator.pieces()
        if isinstance(merging, Balanced):
            balance = sum(merging.balance(state) for states in pieces.values() for state in states)
            merging = merging.settled(balance)
        return {
            name: _joined((merging.merge(state, points) for state in states), self._shapes[name])
            for name, states in pieces.items()
        }

    def read_as(self, methods: Sequence[str], merge: spec.Merge) -> "Partial":
        """The same points for other methods, with other options; the arrays are shared.

        Raises MergeError where a method needs what was not added up, or was added up with other options.
        """
        shapes = {name: torch.empty(shape, device="meta") for name, shape in self._shapes.items()}
        other = Partial(methods, shapes, merge)
        missing = set(other._accumulator.components) - set(self._accumulator.components)
        if missing or (SINGLE in methods and SINGLE not in self.methods):
            told = f"{', '.join(other.methods)} cannot be read from what was added up for {', '.join(self.methods)}"
            raise MergeError(told)
        if other._accumulator.trims and merge.density != self._merge.density:
            raise MergeError(f"the trimmed sums are of density {self._merge.density:g}, not {merge.density:g}")
        other._accumulator.restore(self._accumulator.arrays())
        other.points = list(self.points)
        other._best = self._best if SINGLE in methods else None
        return other

    def bytes_of(self, method: str) -> int:
        """Bytes of a method's own components, however many points were added. Raises MergeError as ``result``."""
        self._require(method)
        sizes = sum(shape.numel() for shape in self._shapes.values())
        if method == SINGLE:
            return 4 * sizes
        states = self._accumulator.arrays()
        components = self._summed[method].components
        return sum(array.nbytes for name, array in states.items() if name.partition("/")[0] in components)

    def consensus(self) -> Consensus:
        """How far the points agree, by NegMerge's rule. Raises MergeError as ``result("negmerge")`` does."""
        self._require("negmerge")
        merging, points, pieces = NegMerge.of(self._merge), len(self.points), self._accumulator.pieces()
        agreed = {
            name: sum(int(np.count_nonzero(merging.consensus(state, points))) for state in states)
            for name, states in pieces.items()
        }
        counts = np.zeros(points + 1, np.int64)
        for state in chain.from_iterable(pieces.values()):
            counts += np.bincount(merging.majority(state), minlength=points + 1)
        return consensus_of(agreed, self._accumulator.sizes, merging.needed(points), counts.tolist())

    def save(self, path: Path) -> str:
        """Write the partial as one safetensors file, atomically; returns the file's digest."""
        tensors = {name: torch.from_numpy(array) for name, array in self._accumulator.arrays().items()}
        best = None
        if self._best is not None:
            tensors |= {f"best/{name}": tau.reshape(-1) for name, tau in self._best.vector.items()}
            single = self._best.single
            best = {"index": self._best.index, "key": list(single.rank), "scale": single.scale}
        about = {"methods": self.methods, "options": self._options(), "points": self.points, "best": best}
        return save_tensors(tensors, path, {"partial": json.dumps(about)})

    @classmethod
    def load(cls, path: Path, base: Mapping[str, Tensor], merge: spec.Merge) -> "Partial":
        """Read what ``save`` wrote, to the bit.

        Raises CheckpointError where the file is cut off or not a partial, MergeError where it belongs to another
        merge, TensorError where one of its tensors is missing or of another size.
        """
        metadata = placement(path).metadata
        try:
            about = json.loads(metadata["partial"])
            methods, points, options, best = (about[key] for key in ("methods", "points", "options", "best"))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} does not hold a partial") from error
        partial = cls(methods, base, merge)
        if options != partial._options():
            raise MergeError(f"{path} was made with other merge options: {options}")
        partial._enlist(points)
        partial._restore(load_tensors(path), best)
        return partial

    def _restore(self, tensors: Mapping[str, Tensor], best: Mapping[str, Any] | None) -> None:
        """Take over a file's tensors, as copies: the file may be replaced."""

        def taken(component: str) -> dict[str, Tensor]:
            found = {}
            for name, shape in self._shapes.items():
                tensor = tensors.get(f"{component}/{name}")
                if tensor is None or tensor.numel() != shape.numel():
                    raise TensorError(name, f"has no {component} of its size in the partial, which is another model's")
                found[name] = tensor.clone()
            return found

        components = {component: taken(component) for component in self._accumulator.components}
        self._accumulator.restore(
            {
                f"{component}/{name}": tensor.numpy()
                for component, found in components.items()
                for name, tensor in found.items()
            }
        )
        if best is not None:
            vector = {name: tau.reshape(self._shapes[name]) for name, tau in taken("best").items()}
            self._best = _Best(best["index"], Single(tuple(best["key"]), best["scale"]), vector)

    def _options(self) -> dict[str, float]:
        return self._merge.model_dump(exclude={"method"})

    def _enlist(self, points: Iterable[int]) -> None:
        """Put points on the list, or raise and leave it as it was."""
        together = sorted([*self.points, *points])
        if twice := [one for one, following in pairwise(together) if one == following]:
            raise MergeError(f"point {twice[0]} would be merged twice")
        if len(together) > MAX_POINTS:
            raise MergeError(f"{len(together)} points are more than the {MAX_POINTS} that can be added exactly")
        self._accumulator.make_room(len(together))
        self.points = together

    def _check_shapes(self, vector: TaskVector) -> None:
        for name in vector:
            if name not in self._shapes:
                raise TensorError(name, "does not take part in this merge")
        for name, shape in self._shapes.items():
            if name not in vector:
                raise TensorError(name, "is missing from the task vector")
            if vector[name].shape != shape or vector[name].dtype != torch.float32:
                found = f"{vector[name].dtype} {list(vector[name].shape)}"
                raise TensorError(name, f"is {found} in the task vector, not float32 {list(shape)}")

    def _floor(self, vector: Mapping[str, Array]) -> np.float32:
        """The least magnitude that trimming keeps of one whole task vector."""
        size = sum(tau.size for tau in vector.values())
        if not self._accumulator.trims or size == 0:
            return np.float32(0)

        def read() -> Iterator[Array]:
            return (tau[span] for tau in vector.values() for span in chunks(tau.size))

        return kth_magnitude(read, kept(self._merge.density, size))

    def _require(self, method: str) -> None:
        if method not in self.methods:
            raise MergeError(f"this partial was not made for {method!r}, only for {', '.join(self.methods)}")
        if not self.points:
            raise MergeError("there is no task vector to merge")


def consensus_of(
    agreed: Mapping[str, int], sizes: Mapping[str, int], needed: int, counts: Sequence[int] = ()
) -> Consensus:
    """Shares from how many elements agree in each tensor and how many there are.

    needed: points that must agree. counts: of the elements, by how many points agree, where they were counted.
    """
    shares = {name: agreed[name] / max(size, 1) for name, size in sizes.items()}
    share = sum(agreed.values()) / max(sum(sizes.values()), 1)
    return Consensus(share=share, tensors=shares, elements=dict(sizes), needed=needed, counts=list(counts))


def _joined(pieces: Iterable[Array], shape: torch.Size) -> Tensor:
    merged = np.empty(shape.numel(), np.float32)
    start = 0
    for piece in pieces:
        merged[start : start + piece.size] = piece
        start += piece.size
    return torch.from_numpy(merged).reshape(shape)
