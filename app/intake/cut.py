"""``python -m app.intake.cut``: cut the data sets of one spec into parts, in a process of its own with limits.

``cutting`` asks. A million samples take seconds, and JSON is read in one go: other requests would wait for it.
"""

from typing import Any

from app.store.indexes import read_index
from app.store.objects import Store, StoreUnavailable
from negmerge import confined
from negmerge.data.selection import split
from negmerge.errors import SelectionError
from negmerge.spec.job import parse


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """``counts``, or ``wrong`` with its ``pointer``, or ``away`` where the store does not answer."""
    spec = parse(question["spec"])
    try:
        store = Store.open(question["store"])
        forget = read_index(store, question["forget"])
        retain = forget if question["retain"] == question["forget"] else read_index(store, question["retain"])
        counts = split(spec.forget, spec.retain, forget, retain, spec.rivals_compared()).counts()
    except StoreUnavailable as error:
        return {"away": str(error)}
    except SelectionError as error:
        return {"wrong": str(error), "pointer": error.pointer}
    return {"counts": counts.model_dump(mode="json")}


if __name__ == "__main__":
    confined.answer(_answer)
