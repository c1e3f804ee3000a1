"""What a merge adds up: components, each a commutative monoid over flat arrays, exact to the last bit.

A sum of task vectors is int64 fixed point in steps of 2⁻⁵⁰. Integer addition is associative, so no component
depends on the order of the points, on how they were split over workers, or on how elements were cut into chunks
(``docs/method.md``).
numpy, because on these small chunks it takes half the time of torch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from negmerge.checkpoints.tensors import Array

State = dict[str, Array]
"""Component → flat array, one element for each element of the tensor."""

CHUNK = 1 << 17
"""Elements that are worked on at once: a chunk and its temporaries stay in a core's cache."""

STEP = 2.0**-50
"""The step of the fixed-point sums. With |τ| < 8 and at most 1023 points no int64 sum overflows."""

_PER_STEP = np.float32(1 / STEP)
WIDE = 256
"""From so many points on, counts take 16 bits instead of 8."""


def mean(total: Array, count: int | Array) -> Array:
    """f32(f64(S)/N·2⁻⁵⁰): int64 → float32."""
    # f64(S)/(N·2⁵⁰) has the same bits, since a power of two only moves the exponent; cast to float32 as it is made
    return np.divide(total, count / STEP, out=np.empty(total.shape, np.float32))


@dataclass(frozen=True)
class Component:
    """One component of an accumulator, which begins as zeros.

    fold takes a float32 chunk of τ into the component in place, combine takes another accumulator's component. Where
    ``trimmed`` is set, the component sees τ with all but its largest magnitudes set to 0 (TIES).
    """

    dtype: type[np.generic]
    fold: Callable[[Array, Array], None]
    combine: Callable[[Array, Array], None]
    trimmed: bool = False

    @property
    def counts(self) -> bool:
        """True for a count of points, whose type depends on how many there are."""
        return self.dtype is np.uint8


def _add(total: Array, other: Array) -> None:
    total += other


def _add_steps(total: Array, tau: Array) -> None:
    """S += rint(τ·2⁵⁰), half to even. A power of two times a float32 is exact, and so is a whole one as int64."""
    steps = tau * _PER_STEP
    np.rint(steps, out=steps)
    # numpy casts in pieces of a few thousand: no temporary that malloc would fetch from the system every time
    np.add(total, steps, out=total, dtype=np.int64, casting="unsafe")


def _add_positive_steps(total: Array, tau: Array) -> None:
    _add_steps(total, np.maximum(tau, 0))


def _add_negative_steps(total: Array, tau: Array) -> None:
    _add_steps(total, np.minimum(tau, 0))


def _count_positive(total: Array, tau: Array) -> None:
    np.add(total, (tau > 0).view(np.uint8), out=total)  # seen as bytes, they need no cast


def _count_negative(total: Array, tau: Array) -> None:
    np.add(total, (tau < 0).view(np.uint8), out=total)


def _keep_larger(largest: Array, tau: Array) -> None:
    """The value of larger magnitude, of two equal ones the positive: a maximum under a total order."""
    size, best = np.abs(tau), np.abs(largest)
    np.copyto(largest, tau, where=(size > best) | ((size == best) & (tau > largest)))


COMPONENTS: dict[str, Component] = {
    "sum": Component(np.int64, _add_steps, _add),
    "positives": Component(np.uint8, _count_positive, _add),
    "negatives": Component(np.uint8, _count_negative, _add),
    "largest": Component(np.float32, _keep_larger, _keep_larger),
    "trimmed_positive_sum": Component(np.int64, _add_positive_steps, _add, trimmed=True),
    "trimmed_negative_sum": Component(np.int64, _add_negative_steps, _add, trimmed=True),
    "trimmed_positives": Component(np.uint8, _count_positive, _add, trimmed=True),
    "trimmed_negatives": Component(np.uint8, _count_negative, _add, trimmed=True),
}


def trims(components: Iterable[str]) -> bool:
    """Whether one of these components sees only the largest magnitudes of τ."""
    return any(COMPONENTS[component].trimmed for component in components)


def empty(components: Iterable[str], size: int, points: int) -> State:
    """The neutral element for ``size`` elements, with counts wide enough for so many points."""
    return {name: np.zeros(size, _dtype(name, points)) for name in components}


def fold(state: State, tau: Array, floor: np.float32) -> None:
    """Take one chunk of a point's τ into the state, in place. floor: the least |τ| that trimming keeps."""
    trimmed = None
    for name, total in state.items():
        component = COMPONENTS[name]
        if component.trimmed and trimmed is None:
            trimmed = tau * (np.abs(tau) >= floor)
        component.fold(total, trimmed if component.trimmed and trimmed is not None else tau)


def chunks(size: int, chunk: int = CHUNK) -> Iterator[slice]:
    """``size`` elements in slices of at most ``chunk``."""
    return (slice(start, min(start + chunk, size)) for start in range(0, size, chunk))


class Accumulator:
    """The components of a whole model: a state for each tensor, by name.

    sizes: elements of each tensor. chunk: how many are worked on at once; it changes no bit.
    """

    def __init__(self, components: Iterable[str], sizes: Mapping[str, int], chunk: int = CHUNK) -> None:
        self.components = list(dict.fromkeys(components))
        self.sizes = dict(sizes)
        self.trims = trims(self.components)
        self._chunk = chunk
        self._states = {name: empty(self.components, size, points=0) for name, size in self.sizes.items()}

    def make_room(self, points: int) -> None:
        """Widen the counts where so many points need it."""
        for state in self._states.values():
            for component, total in state.items():
                state[component] = total.astype(_dtype(component, points), copy=False)

    def add(self, vector: Mapping[str, Array], floor: np.float32) -> None:
        """Fold a whole τ, given as flat float32 arrays. floor: as in ``fold``."""
        for name, tau in vector.items():
            for span in chunks(tau.size, self._chunk):
                fold(_view(self._states[name], span), tau[span], floor)

    def combine(self, other: "Accumulator") -> None:
        """Take in another accumulator of the same components and sizes."""
        for name, state in self._states.items():
            for component, total in state.items():
                COMPONENTS[component].combine(total, other._states[name][component])

    def pieces(self) -> dict[str, list[State]]:
        """Every tensor's state in chunks, in order, so that what is made of them takes little memory."""
        return {
            name: [_view(self._states[name], span) for span in chunks(size, self._chunk)]
            for name, size in self.sizes.items()
        }

    def arrays(self) -> dict[str, Array]:
        """All components by the name ``component/tensor``, for a file."""
        return {
            f"{component}/{name}": total for name, state in self._states.items() for component, total in state.items()
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Put back what ``arrays`` gave, of the same components and sizes; the arrays are now the accumulator's."""
        for name, state in self._states.items():
            for component in state:
                state[component] = arrays[f"{component}/{name}"]


def _dtype(name: str, points: int) -> type[np.generic]:
    """The dtype in which a component of so many points is kept."""
    component = COMPONENTS[name]
    return np.uint16 if component.counts and points >= WIDE else component.dtype


def _view(state: State, span: slice) -> State:
    """A slice of every component: what is written to it is written to the state."""
    return {name: total[span] for name, total in state.items()}
