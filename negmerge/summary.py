"""The one table of a result: each method's forget and retain accuracy on test data. Plain Python over the document.

Which single model is the best and which the worst was ranked on validation data, by the rule that chose λ; the
test figures here chose nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LABELS = {
    "base": "base model",
    "task_arithmetic": "best single",
    "uniform": "uniform mean",
    "negmerge": "NegMerge",
    "magmax": "MagMax",
    "ties": "TIES",
}


@dataclass(frozen=True)
class Row:
    """One line: accuracies in [0, 1], None where there is no such sample; ``detail`` says which point it is."""

    label: str
    scale: float | None
    forget: float | None
    retain: float | None
    main: bool = False
    detail: str = ""


def rows(document: Mapping[str, Any]) -> list[Row]:
    """base, the singles, then every other method with the job's own last."""
    methods = document["methods"]
    table = [_row("base", methods["base"], document)]
    ranked = singles(document)
    if ranked:
        table.append(_single("best single", ranked[0], document))
        if len(ranked) > 1:
            table.append(_single("worst single", ranked[-1], document))
    main = document["method"]
    others = [name for name in methods if name not in ("base", "task_arithmetic", main)]
    table += [_row(name, methods[name], document) for name in [*others, main]]
    return table


def singles(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The points that were searched as single models, best first by their rank on validation data."""
    searched = [point for point in document["points"] if "rank" in point]
    return sorted(searched, key=lambda point: (point["rank"], point["index"]))


def accuracy(figures: Mapping[str, Any], side: str, forget_part: str = "test") -> float | None:
    """The side's accuracy in [0, 1] where it is reported, None where it has no samples there."""
    found = figures.get(forget_part if side == "forget" else "test", {}).get(side)
    return None if found is None else float(found["accuracy"])


def forget_part(document: Mapping[str, Any]) -> str:
    """Where forgetting is reported: on test for classes; forgotten training samples are measured themselves."""
    return "test" if document["splits"]["forget"]["test"] else "train"


def hyper_parameters(point: Mapping[str, Any]) -> str:
    """A point's hyper-parameters in one line, without those left at None."""
    given = {name: value for name, value in point["hyper_parameters"].items() if value is not None}
    return ", ".join(f"{name} {_plain(value)}" for name, value in given.items())


def _row(method: str, figures: Mapping[str, Any], document: Mapping[str, Any]) -> Row:
    part = forget_part(document)
    return Row(
        LABELS.get(method, method),
        figures.get("scale"),
        accuracy(figures, "forget", part),
        accuracy(figures, "retain"),
        main=method == document["method"],
    )


def _single(label: str, point: Mapping[str, Any], document: Mapping[str, Any]) -> Row:
    part = forget_part(document)
    return Row(
        label,
        point["scale"],
        accuracy(point, "forget", part),
        accuracy(point, "retain"),
        main=document["method"] == "task_arithmetic" and label == "best single",
        detail=f"point {point['index']}: {hyper_parameters(point)}",
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "/".join(str(part) for part in value.values())
    return f"{value:g}" if isinstance(value, float) else str(value)
