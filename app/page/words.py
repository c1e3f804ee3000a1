"""How the page says times, sizes, shares and what a job is asked to do."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from negmerge.naming import visible
from negmerge.spec.methods import label
from negmerge.spec.references import Select
from negmerge.spec.words import forgotten, percent, plural


def duration(seconds: float) -> str:
    """A time span in its two largest units: 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for large, small, (big, little) in ((60, 1, ("min", "s")), (3600, 60, ("h", "min")), (86_400, 3600, ("d", "h"))):
        if whole < large * 60 or large == 86_400:
            rest = whole % large // small
            return f"{whole // large} {big}" + (f" {rest} {little}" if rest else "")
    raise AssertionError("every span has a unit")


def size(count: int | None) -> str:
    """Bytes in the largest decimal unit that gives at least one."""
    if count is None:
        return "–"
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def moment(at: datetime) -> Markup:
    """A time for people and for machines, in UTC; a script writes the visitor's own time beside it."""
    utc = at.astimezone(UTC)
    stamp = utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup('<time datetime="{}">{} UTC</time>').format(stamp, utc.strftime("%Y-%m-%d %H:%M"))


def forgets(spec: Mapping[str, Any]) -> str:
    """What a job's stored spec asks to be forgotten, in a few words: ``the class “seven”``."""
    return selected(spec.get("forget") or {}) or forgotten(None)


def selected(ref: Mapping[str, Any]) -> str:
    """Which samples a reference of a stored spec selects, in a few words; empty where it is all of them."""
    select = ref.get("select")
    return "" if select is None else forgotten(Select.model_validate(select))


def source_of(ref: Mapping[str, Any]) -> str:
    """What a reference to data in a stored spec names: an id, a URI, or a published data set."""
    return str(ref.get("dataset") or ref.get("uri") or ref.get("torchvision") or "")


def capital(text: str) -> str:
    """The text with its first letter in capital, and all else as it is."""
    return text[:1].upper() + text[1:]


def lines_of_json(value: Any) -> Markup:
    """A document as indented JSON without what is null."""
    return lines(json.dumps(_given(value), indent=2, ensure_ascii=False))


def lines(text: str) -> Markup:
    """A text that keeps its lines, as within ``pre``; what else cannot be seen is escaped."""
    return Markup("\n").join(visible(line) for line in text.split("\n"))


def coded(text: str) -> Markup:
    """A text of ours with what stands in backticks as code."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    return [_given(inner) for inner in value] if isinstance(value, list) else value


FILTERS: dict[str, Callable[..., Any]] = {
    "share": percent,
    "duration": duration,
    "size": size,
    "plural": plural,
    "moment": moment,
    "forgets": forgets,
    "capital": capital,
    "lines": lines,
    "coded": coded,
    "method": label,
    "lines_of_json": lines_of_json,
}
"""By the name that templates use."""
