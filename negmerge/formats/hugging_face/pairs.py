"""Which tensors of transformers are which of open_clip or timm. A pair is the same numbers, in another arrangement."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SUFFIXES = ("weight", "bias")


@dataclass(frozen=True)
class Pair:
    """Tensors by their names there and here; those of a side, one below the other, are those of the other side.

    theirs: of as many rows each. transposed: ours are their matrices' columns as rows. nested: how many more brackets
    theirs have around all numbers, as a list of one number has; less than 0 where ours have more.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    transposed: bool = False
    nested: int = 0


def one(theirs: str, ours: str, *, transposed: bool = False, nested: int = 0) -> Pair:
    """One tensor there and here."""
    return Pair((theirs,), (ours,), transposed, nested)


def layer(theirs: str, ours: str, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[Pair]:
    """A layer's weight and bias."""
    for suffix in suffixes:
        yield one(f"{theirs}.{suffix}", f"{ours}.{suffix}")


def stacked(theirs: tuple[str, ...], ours: str, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[Pair]:
    """Layers there whose rows are one layer's here: queries, keys and values."""
    for suffix in suffixes:
        yield Pair(tuple(f"{name}.{suffix}" for name in theirs), (f"{ours}.{suffix}",))


@dataclass(frozen=True)
class Span:
    """``count`` elements that lie side by side in both: from ``start`` of a tensor there, from ``ours_start`` of ours.

    Of a transposed pair ours are another matrix's columns, and the span is all of both.
    """

    start: int
    ours: str
    ours_start: int
    count: int
    transposed: bool = False


def spans(pair: Pair, ours_sizes: Mapping[str, int]) -> dict[str, list[Span]]:
    """Where the elements of each tensor of theirs lie in ours. ours_sizes: how many each tensor of ours has."""
    size = sum(ours_sizes[name] for name in pair.ours) // len(pair.theirs)
    found: dict[str, list[Span]] = {name: [] for name in pair.theirs}
    place = 0
    for ours in pair.ours:
        start = 0
        while start < ours_sizes[ours]:
            number, offset = divmod(place, size)
            count = min(size - offset, ours_sizes[ours] - start)
            found[pair.theirs[number]].append(Span(offset, ours, start, count, pair.transposed))
            start, place = start + count, place + count
    return found
