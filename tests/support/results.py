"""A small result document in which all went well, for tests of what people are told of one."""

from collections.abc import Sequence
from typing import Any

from negmerge.spec.figures import FigureRecord, Sides
from negmerge.spec.result import MethodRow, PointRow, ResultDocument
from negmerge.spec.sweep import HyperParameters

SPEC = {
    "base_model": {"family": "open_clip", "weights": "model"},
    "forget": {"uri": "digits.zip", "select": {"classes": ["three"]}},
    "retain": {"uri": "digits.zip"},
    "sweep": {"grid": {"epochs": [1, 2, 3, 4]}},
}
DIGEST = "sha256:" + 64 * "0"


def figure(correct: int, count: int, low: float = 0.0, high: float = 1.0) -> FigureRecord:
    """``correct`` of ``count``, with an interval as it is given."""
    return FigureRecord(accuracy=correct / count, correct=correct, count=count, interval=(low, high))


def base(retain: FigureRecord) -> MethodRow:
    """A base model that was measured on the kept validation samples."""
    return MethodRow(validation=Sides(retain=retain))


def point(index: int, state: str = "folded") -> PointRow:
    """A point without an outcome."""
    return PointRow.model_validate(
        {"index": index, "hyper_parameters": HyperParameters(), "seed": index, "state": state}
    )


def document(points: int = 4, repeats: int = 1, left_out: Sequence[int] = (), **changes: Any) -> ResultDocument:
    """A document with so many points in all. ``changes`` replace fields as they are given."""
    identity = {"name": "digits.zip", "root": None, "classes": 10, "samples": {"unsaid": 1797}, "ids": DIGEST}
    counts = {"train": 8, "validation": 1, "test": 1}
    whole = {
        "job": None,
        "spec": SPEC,
        "method": "negmerge",
        "rule": "lowest_forget",
        "scale": 1.0,
        "scale_at_edge": False,
        "outcome": "unlearned",
        "outcome_reason": "The forget accuracy fell.",
        "gates": [],
        "asked": {
            "at": "2026-11-25T09:30:00Z",
            "concluded_at": "2026-11-25T09:40:00Z",
            "base_model": {"name": "model"},
            "forget": {"name": "digits.zip"},
            "retain": {"name": "digits.zip"},
        },
        "consensus": {"share": 0.5, "tensors": {"visual.proj": 0.5}},
        "methods": {"base": base(figure(90, 100, 0.825, 0.945))},
        "repeats": [{"negmerge": {"scale": 1.0}}] * repeats,
        "table": [],
        "table_parts": {"forget": "test", "retain": "test"},
        "points": [point(index, "diverged" if index in left_out else "folded") for index in range(points)],
        "left_out": list(left_out),
        "splits": {"forget": counts, "retain": counts},
        "data": {"forget": identity, "retain": identity},
        "duplicates": {"count": 0, "examples": []},
        "digests": {"base": DIGEST, "task_vector": DIGEST, "unlearned": DIGEST},
        "warnings": [],
        "environment": {
            "device": "cpu",
            "threads": 1,
            "torch": "2",
            "open_clip": "3",
            "timm": "1",
            "python": "3.11",
            "negmerge": "0",
        },
        "rounded_away": 0.0,
    }
    return ResultDocument.model_validate(whole | changes)


def measured() -> ResultDocument:
    """A document with figures: 2 of 10 forgotten digits are still known, 10 were; 85 of 100 others, 90 were."""
    methods = {
        "base": MethodRow(test=Sides(forget=figure(10, 10), retain=figure(90, 100))),
        "negmerge": MethodRow(test=Sides(forget=figure(2, 10), retain=figure(85, 100))),
    }
    return document(methods=methods)
