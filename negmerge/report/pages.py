"""The pages that people read: ``report.html`` (one file, nothing loaded from elsewhere) and ``MODEL_CARD.md``."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from negmerge.report import plots
from negmerge.report.summary import LABELS, Figure, compared, forget_part, hyper_parameters, rows, singles


def html(document: Mapping[str, Any]) -> str:
    """The report of a result document, as one HTML page."""
    pictures = {
        "scale_curve": plots.scale_curve(document),
        "consensus": plots.consensus_by_layer(document),
        "singles": plots.singles_beside_merged(document) if singles(document) else None,
    }
    return _render("report.html.jinja", document, pictures=pictures)


def model_card(document: Mapping[str, Any]) -> str:
    """The model card that travels with the weights, as Markdown."""
    return _render("model_card.md.jinja", document)


def percent(value: float | None) -> str:
    """An accuracy in [0, 1] for a table: one decimal, or a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def with_interval(figure: Figure | None) -> str:
    """An accuracy with its 95 % interval, in percent: 5.6 % (1.0–25.8)."""
    return "–" if figure is None else f"{percent(figure.accuracy)} ({100 * figure.low:.1f}–{100 * figure.high:.1f})"


def forgotten(document: Mapping[str, Any]) -> str:
    """What the forget set is, in words."""
    select = document["spec"]["forget"].get("select")
    if select is None:
        return "a whole data set"
    if "classes" in select:
        classes = select["classes"]
        return f"the class{'es' if len(classes) > 1 else ''} " + ", ".join(f"“{name}”" for name in classes)
    if "ids" in select:
        return f"{len(select['ids'])} listed samples"
    return f"a random share of {select['fraction']:g} of the training samples"


def _render(template: str, document: Mapping[str, Any], **more: Any) -> str:
    environment = Environment(
        loader=PackageLoader("negmerge.report"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "with_interval": with_interval, "hyper_parameters": hyper_parameters}
    return environment.get_template(template).render(
        result=document,
        rows=rows(document),
        compared=compared(document),
        main_label=LABELS.get(document["method"], document["method"]),
        forgotten=forgotten(document),
        forget_part=forget_part(document),
        **more,
    )
