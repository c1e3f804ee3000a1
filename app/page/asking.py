"""The form of a new request as a job's spec, and which field of the form each wrong field of the spec is.

What is not there or no number is told here; all else by the same judges as over HTTP.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from app.errors import InvalidSpec
from app.record.tables import Model
from negmerge.errors import FieldError
from negmerge.spec.numbers import plain_number

AXES = {
    "learning_rate": "Learning rate",
    "weight_decay": "Weight decay",
    "epochs": "Epochs",
    "batch_size": "Batch size",
    "label_smoothing": "Label smoothing",
}
"""What a grid of one's own can vary, and how the form says it."""

HOW = {
    "classes": "Whole classes",
    "samples": "Single samples",
    "pictures": "A person’s pictures",
    "all": "The whole data set",
}
"""What can be forgotten."""

LABELS = {
    "dataset": "Data set",
    "classes": "Classes that must go",
    "ids": "Samples that must go",
    "model": "Model that is to forget",
    "retain": "What must stay",
    "forget_max": "Right on what is forgotten",
    "retain_min": "Right on what is kept",
    "target": "Stop when about so many are still right",
    "sweep": "Sweep",
    "preset": "Preset",
    **AXES,
    "metadata": "Other notes",
}
"""How the form calls its fields where it says what is wrong with them; one that has no place is called nothing."""

_WHOLE = frozenset({"epochs", "batch_size"})
_PLACES = (
    ("/forget/select/classes", "classes"),
    ("/forget/select/ids", "ids"),
    ("/forget/select", "classes"),
    ("/forget", "dataset"),
    ("/retain", "retain"),
    ("/base_model", "model"),
    ("/require/forget_max", "forget_max"),
    ("/require/retain_min", "retain_min"),
    ("/require", "forget_max"),
    ("/scale_search", "target"),
    *((f"/sweep/grid/{axis}", axis) for axis in AXES),
    ("/sweep/preset", "preset"),
    ("/sweep", "sweep"),
    ("/metadata", "metadata"),
)
"""Where a spec's fields stand in the form; the first that fits counts."""


def blank() -> dict[str, str]:
    """A form that nobody has filled in. ``once`` makes one job of it, however often it is sent."""
    return {
        "once": secrets.token_hex(16),
        "how": "classes",
        "sweep": "auto",
        "forget_max": "",
        "retain_min": "",
        "target": "",
        "ids": "",
        "class_names": "",
        "metadata": "",
        "ticket": "",
    }


def chosen_classes(form: Mapping[str, str]) -> list[str]:
    """The classes that are ticked, and those that are listed, a line each."""
    return list(dict.fromkeys([*_ticked(form, "class"), *_lines(form, "class_names")]))


def listed_ids(form: Mapping[str, str]) -> list[str]:
    """The samples that are listed, a line each, and those that are ticked: without scripts nothing lists them.

    Ticks count only where they can be seen, which is while single samples are chosen.
    """
    ticked = _ticked(form, "sample") if form.get("how") == "samples" else []
    return list(dict.fromkeys([*_lines(form, "ids"), *ticked]))


def _ticked(form: Mapping[str, str], name: str) -> list[str]:
    """The values of fields that are called ``name.0``, ``name.1``, …"""
    return [value for field, value in form.items() if field.startswith(f"{name}.")]


def _lines(form: Mapping[str, str], name: str) -> list[str]:
    """The lines of a field in which something stands. Names may hold what ``str.splitlines`` takes for an end."""
    return list(filter(None, map(str.strip, re.split(r"[\r\n]+", form.get(name, "")))))


def document(form: Mapping[str, str], model: Model | None) -> dict[str, Any]:
    """The form as a job's spec. model: the row that it names. Raises InvalidSpec with all that is missing."""
    wrong: list[FieldError] = []
    dataset = form.get("dataset", "")
    if not dataset:
        wrong.append(FieldError("/forget/dataset", "choose a data set"))
    if model is None:
        wrong.append(FieldError("/base_model/weights", "choose the model that is to forget"))
    made: dict[str, Any] = {
        "base_model": {"family": model.family if model else "", "weights": model.id if model else ""},
        "forget": {"dataset": dataset, **_selected(form, wrong)},
        "retain": {"dataset": form.get("retain") or dataset},
        "sweep": _sweep(form, wrong),
        "require": _gates(form, wrong),
        "scale_search": _how_far(form, wrong),
        "metadata": _metadata(form, wrong),
    }
    if wrong:
        raise InvalidSpec("; ".join(error.detail for error in wrong), wrong)
    return {name: part for name, part in made.items() if part}


def places(errors: list[FieldError]) -> dict[str, str]:
    """What is wrong by the field of the form; of what stands nowhere in it, by ``""``."""
    told: dict[str, str] = {}
    for error in errors:
        field = next((name for pointer, name in _PLACES if _is_below(error.pointer, pointer)), "")
        at = "" if field else f"{error.pointer}: "
        told[field] = f"{told[field]}; {at}{error.detail}" if field in told else f"{at}{error.detail}"
    return told


def _is_below(pointer: str, place: str) -> bool:
    return pointer == place or pointer.startswith(f"{place}/")


def _selected(form: Mapping[str, str], wrong: list[FieldError]) -> dict[str, Any]:
    how = form.get("how", "classes")
    if how == "all":
        return {}
    if how == "classes":
        if not (classes := chosen_classes(form)):
            wrong.append(FieldError("/forget/select/classes", "choose at least one class"))
        return {"select": {"classes": classes}}
    if not (ids := listed_ids(form)):
        told = "find the pictures and confirm at least one" if how == "pictures" else "list at least one sample"
        wrong.append(FieldError("/forget/select/ids", told))
    return {"select": {"ids": ids}}


def _sweep(form: Mapping[str, str], wrong: list[FieldError]) -> Any:
    match form.get("sweep", "auto"):
        case "preset":
            return {"preset": form.get("preset", "")}
        case "own":
            grid = {axis: _numbers(form, axis, wrong) for axis in AXES if form.get(axis, "").strip()}
            if not grid:
                wrong.append(FieldError("/sweep", "give at least one hyper-parameter with its values"))
            return {"grid": grid}
        case _:
            return "auto"


def _numbers(form: Mapping[str, str], axis: str, wrong: list[FieldError]) -> list[float | int]:
    found: list[float | int] = []
    for text in filter(None, re.split(r"[\s;,]+", form[axis])):
        try:
            found.append(int(plain_number(text)) if axis in _WHOLE else float(plain_number(text)))
        except ValueError:
            kind = "whole numbers" if axis in _WHOLE else "numbers such as 0.05 or 1e-5"
            wrong.append(FieldError(f"/sweep/grid/{axis}", f"give {kind}, with commas or spaces between them"))
            break
    return found


def _gates(form: Mapping[str, str], wrong: list[FieldError]) -> dict[str, float]:
    found = {name: _share(form, name, f"/require/{name}", wrong) for name in ("forget_max", "retain_min")}
    return {name: share for name, share in found.items() if share is not None}


def _how_far(form: Mapping[str, str], wrong: list[FieldError]) -> dict[str, Any]:
    """The rule by which λ is chosen, where another than the usual one is asked for."""
    target = _share(form, "target", "/scale_search/target", wrong)
    return {} if target is None else {"rule": "target", "target": target}


def _share(form: Mapping[str, str], name: str, pointer: str, wrong: list[FieldError]) -> float | None:
    """A field in percent, as a share; None where it is empty."""
    text = form.get(name, "").strip().removesuffix("%").strip().replace(",", ".")
    if not text:
        return None
    try:
        return round(float(plain_number(text)) / 100, 12)
    except ValueError:
        wrong.append(FieldError(pointer, "give a number of percent, such as 5"))
        return None


def _metadata(form: Mapping[str, str], wrong: list[FieldError]) -> dict[str, str]:
    found: dict[str, str] = {}
    if ticket := form.get("ticket", "").strip():
        found["ticket"] = ticket
    for line in _lines(form, "metadata"):
        name, sign, value = (piece.strip() for piece in line.partition("="))
        if not (name and sign) or name in found:
            wrong.append(FieldError("/metadata", "write name=value, a line each, and each name once"))
            break
        found[name] = value
    return found
