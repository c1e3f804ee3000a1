"""``python -m app.intake.judge``: judge one upload in a process of its own, with limits on memory and seconds.

``judging`` asks. Whatever an upload does to the process that reads it, it does to this one, and other requests do not
wait for it.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from app.errors import NO_ROOM
from app.intake import weights
from negmerge import confined
from negmerge.data.archives import index_archive
from negmerge.data.listing import write_listing
from negmerge.data.members import Limits, Place
from negmerge.errors import NegmergeError

INDEX = "index.json"
"""What a data set's index is called beside its archive."""

LISTING = "listing.sqlite"
"""And its listing."""


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """What is found, or ``wrong`` with the detail, or how the machine fell short: ``room``, ``failed``."""
    judges = {"dataset": _dataset, "model": _model}
    try:
        return judges[question["what"]](Path(question["path"]), question)
    except NegmergeError as error:
        return _short_of(error.__cause__) or {"wrong": str(error)}
    except OSError as error:
        return _short_of(error) or {"short_of": "failed"}


def _short_of(cause: BaseException | None) -> dict[str, Any]:
    if not isinstance(cause, OSError):
        return {}
    return {"short_of": "room" if cause.errno in NO_ROOM else "failed"}


def _dataset(path: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Index an archive; the index and the listing are written beside it."""
    places: dict[str, Place] = {}
    index = index_archive(path, Limits(**question["limits"]), leave_out=question["leave_out"], places=places)
    counts = Counter(sample.class_name for sample in index.samples)
    with path.with_name(INDEX).open("w", encoding="utf-8") as file:
        json.dump(index.as_json(), file)
    write_listing(path.with_name(LISTING), index, places)
    classes = {name: counts[name] for name in index.classes}
    return {"samples": len(index.samples), "classes": classes, "folder": index.root, "left_out": index.left_out}


def _model(path: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Judge a model, which is unpacked beside its archive."""
    found = weights.open_upload(path, question["config"], question["max_bytes"])
    return {
        "path": str(found.path),
        "size": found.size,
        "sha256": found.sha256,
        "config": found.config,
        "beside": found.beside,
    }


if __name__ == "__main__":
    confined.answer(_answer)
