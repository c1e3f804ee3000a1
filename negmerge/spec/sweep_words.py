"""A sweep's points in words: in which hyper-parameters they differ, which they share. Of page and report alike.

A point is its hyper-parameters by name; one that is null is none.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

HyperParameters = Mapping[str, Any]


def varied(points: Sequence[HyperParameters]) -> list[str]:
    """The names of the hyper-parameters in which points differ, in their order."""
    names = dict.fromkeys(name for point in points for name in point)
    return [name for name in names if any(one.get(name) != points[0].get(name) for one in points)]


def shared(points: Sequence[HyperParameters]) -> list[str]:
    """The names of those that are the same in all points, in their order."""
    apart = set(varied(points))
    return [name for name, value in (points[0] if points else {}).items() if value is not None and name not in apart]


def described(point: HyperParameters, names: Iterable[str]) -> str:
    """Those of a point's hyper-parameters in one line."""
    given = [(name, point[name]) for name in names if point.get(name) is not None]
    return ", ".join(f"{name.replace('_', ' ')} {plain(value)}" for name, value in given)


def plain(value: Any) -> str:
    """A hyper-parameter's value for a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "/".join(str(part) for part in value.values())
    return f"{Decimal(f'{value:.6g}').normalize():f}" if isinstance(value, float) else str(value)


def became(state: str) -> str:
    """What became of a point that is over: ``folded`` or ``diverged``, as people read it."""
    return {"folded": "merged", "diverged": "diverged, left out"}.get(state, state)
