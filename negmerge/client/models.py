"""Models at the service."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from negmerge.client.asking import asked, gone, listed
from negmerge.client.bars import Wanted, bar
from negmerge.client.effects import Call, Flow, Form, Request
from negmerge.client.paths import below
from negmerge.client.uploads import UPLOAD_SECONDS, attachment, telling
from negmerge.spec.resources import Model

Family = Literal["open_clip", "timm"]


def upload(
    path: Path | str,
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    progress: Wanted = None,
) -> Call[Model]:
    """Upload a model's folder in open_clip's or timm's format, an archive of one, or its weights with the config.

    config: beside a safetensors file, what ``open_clip_config.json`` or timm's ``config.json`` holds. progress: None
    shows a bar in a terminal and in a notebook. Sent once, as a data set is.
    """
    path = Path(path)
    fields = {"name": path.resolve().name if name is None else name}
    if config is not None:
        fields["config"] = json.dumps(dict(config))
    with bar(progress) as show:
        form = Form(fields, (attachment(path, telling(show, f"sending {path.name}")),))
        request = Request("POST", "/v1/models", form=form, repeatable=False, patience=UPLOAD_SECONDS)
        return (yield from asked(request, Model))


def register(
    *,
    uri: str | None = None,
    architecture: str | Mapping[str, Any] | None = None,
    weights: str | None = None,
    family: Family = "open_clip",
    name: str | None = None,
) -> Call[Model]:
    """Register a model by its URI, or by a tag of open_clip's or timm's registry (``weights``) and architecture."""
    document = {"uri": uri, "architecture": architecture, "weights": weights, "family": family, "name": name}
    given = {field: value for field, value in document.items() if value is not None}
    return (yield from asked(Request("POST", "/v1/models", json=given, repeatable=False), Model))


def list_all() -> Flow[Model]:
    """The tenant's models, newest first; pages are asked for as they are needed."""
    yield from listed("/v1/models", Model, {})


def get(model_id: str) -> Call[Model]:
    """One model."""
    return (yield from asked(Request("GET", below("models", model_id)), Model))


def delete(model_id: str) -> Call[None]:
    """Forget a model and its weights. Raises Conflict while a job needs it."""
    yield from gone(below("models", model_id))
