"""Data sets at the service."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from negmerge.client.asking import answered, asked, gone, listed
from negmerge.client.bars import Wanted, bar
from negmerge.client.effects import Call, Flow, Form, Request
from negmerge.client.paths import below
from negmerge.client.uploads import UPLOAD_SECONDS, attachment, telling
from negmerge.spec.fields import OnUnreadable
from negmerge.spec.resources import Dataset, Match, Matches, Sample


def upload(
    path: Path | str,
    *,
    name: str | None = None,
    class_names: Mapping[str, str] | None = None,
    templates: Sequence[str] | None = None,
    on_unreadable: OnUnreadable = "refuse",
    progress: Wanted = None,
) -> Call[Dataset]:
    """Upload an archive (zip, tar, tar.gz), or a folder, which is packed as a zip while it is sent.

    class_names: class → words of its prompt. templates: prompts, each with one ``{}``. on_unreadable: what becomes of
    images that cannot be read. progress: None shows a bar in a terminal and in a notebook.

    Sent once: where the answer is lost, nobody knows whether the data set is there, and ``list`` tells.
    """
    path = Path(path)
    words = {
        "name": path.resolve().name if name is None else name,
        "class_names": json.dumps(dict(class_names)) if class_names is not None else None,
        "templates": json.dumps(list(templates)) if templates is not None else None,
        "on_unreadable": on_unreadable,
    }
    fields = {part: text for part, text in words.items() if text is not None}
    with bar(progress) as show:
        form = Form(fields, (attachment(path, telling(show, f"sending {path.name}")),))
        request = Request("POST", "/v1/datasets", form=form, repeatable=False, patience=UPLOAD_SECONDS)
        return (yield from asked(request, Dataset))


def register(
    uri: str,
    *,
    name: str | None = None,
    class_names: Mapping[str, str] | None = None,
    templates: Sequence[str] | None = None,
    on_unreadable: OnUnreadable = "refuse",
) -> Call[Dataset]:
    """Register a data set by its URI, which the service's settings must allow; the first job reads it."""
    document = {
        "uri": uri,
        "name": name,
        "class_names": None if class_names is None else dict(class_names),
        "templates": None if templates is None else list(templates),
        "on_unreadable": on_unreadable,
    }
    given = {field: value for field, value in document.items() if value is not None}
    return (yield from asked(Request("POST", "/v1/datasets", json=given, repeatable=False), Dataset))


def list_all() -> Flow[Dataset]:
    """The tenant's data sets, newest first; pages are asked for as they are needed."""
    yield from listed("/v1/datasets", Dataset, {})


def get(dataset_id: str) -> Call[Dataset]:
    """One data set."""
    return (yield from asked(Request("GET", below("datasets", dataset_id)), Dataset))


def samples(dataset_id: str, *, classes: Sequence[str] = (), parts: Sequence[str] = ()) -> Flow[Sample]:
    """The samples of an uploaded data set, by id; those of these classes and parts alone, where some are named."""
    path, params = (
        below("datasets", dataset_id, "samples"),
        {"class": list(classes) or None, "part": list(parts) or None},
    )
    yield from listed(path, Sample, params)


def thumbnail(dataset_id: str, sample_id: str) -> Call[bytes]:
    """What a sample shows, as a small image file. Needs a key with the scope ``images``."""
    steps = "datasets", dataset_id, "samples", *sample_id.split("/"), "thumbnail"
    return (yield from answered(Request("GET", below(*steps), headers={"Accept": "image/*"})))


def match(dataset_id: str, files: Sequence[Path | str], *, progress: Wanted = None) -> Call[list[Match]]:
    """Find the samples that are, or look like, these pictures (or those in archives, or in folders), one by one.

    Nothing of them is kept at the service. Needs a key with the scope ``images``.
    """
    with bar(progress) as show:
        found = tuple(attachment(Path(file), telling(show, f"sending {Path(file).name}")) for file in files)
        request = Request("POST", below("datasets", dataset_id, "match"), form=Form({}, found), patience=UPLOAD_SECONDS)
        return (yield from asked(request, Matches)).matches


def delete(dataset_id: str) -> Call[None]:
    """Forget a data set and its files. Raises Conflict while a job needs it."""
    yield from gone(below("datasets", dataset_id))
