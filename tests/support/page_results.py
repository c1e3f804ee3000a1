"""Results with curves and classes, as files of jobs that succeeded, for tests of the page."""

import json
from typing import Any

from negmerge.spec.figures import CountRecord, FigureRecord, Sides
from negmerge.spec.result import CurveRow, MethodRow, ResultDocument
from tests.support import results
from tests.support.api_client import Api

WEIGHTS = b"the unlearned weights"


def counted(correct: int, count: int = 20) -> CountRecord:
    return CountRecord(accuracy=correct / count, correct=correct, count=count)


def curve(*rows: tuple[float, int, int]) -> list[CurveRow]:
    """Scale, and how many of 20 are right on either side."""
    return [CurveRow(scale=scale, forget=counted(forget), retain=counted(retain)) for scale, forget, retain in rows]


def by_class(**correct: int) -> FigureRecord:
    """So many of 20 of each class."""
    total = results.figure(sum(correct.values()), 20 * len(correct))
    return total.with_classes({name: results.figure(right, 20) for name, right in correct.items()})


def tested(forget: int, **retain: int) -> dict[str, Any]:
    return {"test": Sides(forget=by_class(seven=forget), retain=by_class(**retain))}


def methods(forget: int = 1) -> dict[str, MethodRow]:
    """A base model that knows all, a merge that forgot, and another that was tried at λ 0 and 1 alone."""
    return {
        "base": MethodRow(**tested(20, one=20, two=20)),
        "negmerge": MethodRow(
            scale=0.5, curve=curve((0.0, 20, 20), (0.5, 5, 19), (1.0, 0, 10)), **tested(forget, one=19, two=20)
        ),
        "uniform": MethodRow(scale=1.0, curve=curve((0.0, 20, 20), (1.0, 2, 18)), **tested(2, one=20, two=20)),
    }


def of_samples(right: int) -> ResultDocument:
    """A result of 20 forgotten samples of class seven, so many of which are still right; 19 of 20 unseen ones were."""

    def measured(forget: int, one: int, seven: int) -> dict[str, Any]:
        return {"train": Sides(forget=by_class(seven=forget)), "test": Sides(retain=by_class(one=one, seven=seven))}

    tried = curve((0.0, 20, 20), (0.5, right, 19))
    counts = {"train": 20, "validation": 0, "test": 0}
    return results.document(
        spec=results.SPEC | {"forget": {"uri": "digits.zip", "select": {"ids": [f"seven/{n}.png" for n in range(20)]}}},
        methods={
            "base": MethodRow(**measured(20, 20, 20)),
            "negmerge": MethodRow(scale=0.5, curve=tried, **measured(right, 19, 14)),
        },
        rule="match_unseen",
        reference=counted(19),
        scale=0.5,
        splits={"forget": counts, "retain": {"train": 20, "validation": 20, "test": 40}},
        table_parts={"forget": "train", "retain": "test"},
    )


def finished_of(api: Api, class_name: str) -> str:
    """A job that forgot another class."""
    files = {"result.json": json.dumps(results.document(methods=methods(), scale=0.5).as_json()).encode()}
    return api.finished_job(files, forget={"dataset": "ds_1", "select": {"classes": [class_name]}})


def finished(api: Api, metadata: dict[str, str] | None = None, of_transformers: bool = False, **changes: Any) -> str:
    """A job that succeeded, with its result and weights in the store.

    of_transformers: whether its model came in such a folder.
    """
    consensus = {"share": 0.625, "tensors": {"visual.proj": 0.625}, "needed": 4, "counts": [0, 0, 2, 4, 10]}
    given: dict[str, Any] = {"methods": methods(), "scale": 0.5, "consensus": consensus} | changes
    document = results.document(**given)
    files = {
        "result.json": json.dumps(document.as_json()).encode(),
        "report.html": b"<!doctype html>",
        "unlearned/model.safetensors": WEIGHTS,
    }
    theirs = {"unlearned-hf/model.safetensors": WEIGHTS} if of_transformers else {}
    return api.finished_job(files | theirs, metadata=metadata or {})
