"""The one table of a result: each method's forget and retain accuracy on test data. Plain Python over the document.

Which single model is the best and which the worst was ranked on validation data, by the rule that chose λ; the
test figures here chose nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

LABELS = {
    "base": "base model",
    "task_arithmetic": "best single",
    "uniform": "uniform mean",
    "greedy": "greedy soup",
    "negmerge": "NegMerge",
    "relaxed": "relaxed consensus",
    "magmax": "MagMax",
    "ties": "TIES",
    "retrain": "retrained",
    "fine_tune": "fine-tuned on retain",
    "gradient_ascent": "gradient ascent",
    "random_label": "random label",
    "l1_sparse": "ℓ1-sparse",
    "influence": "influence unlearning",
    "boundary_shrink": "boundary shrink",
    "salun": "SalUn",
}


class Figure(NamedTuple):
    """An accuracy in [0, 1] and the ends of its 95 % interval."""

    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One line: accuracies, None where there is no such sample; ``detail`` says which point it is."""

    label: str
    scale: float | None
    forget: Figure | None
    retain: Figure | None
    main: bool = False
    detail: str = ""


def compared(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The whole comparison as text, a row for each method: mean ± deviation where there are repeats.

    Shares are in percent, gaps in percentage points; columns in which no method has a figure are left out. A mean of
    fewer repeats than the job has says of how many (n).
    """
    repeats = len(document["repeats"])
    filled = [column for column in _COLUMNS if any(row[column] is not None for row in document["table"])]
    return [
        {"method": LABELS.get(row["method"], row["method"])}
        | {_COLUMNS[name]: _cell(name, row[name], 1 if row["method"] == "base" else repeats) for name in filled}
        for row in document["table"]
    ]


_COLUMNS = {
    "scale": "λ",
    "forget": "forget %",
    "retain": "retain %",
    "test": "test %",
    "membership": "MIA %",
    "gap": "gap",
    "seconds": "seconds",
    "bytes_stored": "stored",
}


def _cell(column: str, value: Any, repeats: int) -> str:
    if value is None:
        return "–"
    if column == "bytes_stored":
        return f"{value / 1e6:.1f} MB"
    digits = 2 if column in ("gap", "scale") else 1
    unit = 100.0 if _COLUMNS[column].endswith("%") else 1.0
    text = f"{unit * value['mean']:.{digits}f}"
    if value["deviation"] is not None:
        text += f" ± {unit * value['deviation']:.{digits}f}"
    return text if value["repeats"] >= repeats else f"{text} (n = {value['repeats']})"


def rows(document: Mapping[str, Any]) -> list[Row]:
    """base, the singles, then every other merge with the job's own last; rivals are in ``compared``."""
    methods = document["methods"]
    table = [_row("base", methods["base"], document)]
    ranked = singles(document)
    if ranked:
        table.append(_single("best single", ranked[0], document))
        if len(ranked) > 1:
            table.append(_single("worst single", ranked[-1], document))
    main = document["method"]
    others = [name for name in methods if name not in ("base", "task_arithmetic", main) and "curve" in methods[name]]
    table += [_row(name, methods[name], document) for name in [*others, main]]
    return table


def singles(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The first repeat's points, searched as single models, best first by their rank on validation data."""
    size = len(document["points"]) // len(document["repeats"])
    searched = [point for point in document["points"][:size] if "rank" in point]
    return sorted(searched, key=lambda point: (point["rank"], point["index"]))


def figure(figures: Mapping[str, Any], side: str, forget_part: str = "test") -> Figure | None:
    """The side's accuracy where it is reported, None where it has no samples there."""
    found = figures.get(forget_part if side == "forget" else "test", {}).get(side)
    return None if found is None else Figure(found["accuracy"], *found["interval"])


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
        figure(figures, "forget", part),
        figure(figures, "retain"),
        main=method == document["method"],
    )


def _single(label: str, point: Mapping[str, Any], document: Mapping[str, Any]) -> Row:
    part = forget_part(document)
    return Row(
        label,
        point["scale"],
        figure(point, "forget", part),
        figure(point, "retain"),
        main=document["method"] == "task_arithmetic" and label == "best single",
        detail=f"point {point['index']}: {hyper_parameters(point)}",
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "/".join(str(part) for part in value.values())
    return f"{value:g}" if isinstance(value, float) else str(value)
