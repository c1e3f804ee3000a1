"""The pages that people read: ``report.html`` (one file, nothing loaded from elsewhere) and ``MODEL_CARD.md``."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from negmerge.report import escape, plots
from negmerge.report.summary import compared, forget_part, hyper_parameters, label, rows
from negmerge.spec.result import FigureRecord, ResultDocument


def html(document: ResultDocument) -> str:
    """The report of a result document, as one HTML page."""
    pictures = {
        "scale_curve": plots.scale_curve(document),
        "consensus": plots.consensus_by_layer(document),
        "singles": plots.singles_beside_merged(document) if document.singles() else None,
    }
    return _render("report.html.jinja", document, pictures=pictures)


def model_card(document: ResultDocument) -> str:
    """The model card that travels with the weights, as Markdown."""
    return _render("model_card.md.jinja", document)


def percent(value: float | None) -> str:
    """An accuracy in [0, 1] for a table: one decimal, or a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def with_interval(figure: FigureRecord | None) -> str:
    """An accuracy with its 95 % interval, in percent: 5.6 % (1.0–25.8)."""
    if figure is None:
        return "–"
    low, high = figure.interval
    return f"{percent(figure.accuracy)} ({100 * low:.1f}–{100 * high:.1f})"


def forgotten(document: ResultDocument) -> str:
    """What the forget set is, in words."""
    select = document.spec.forget.select
    if select is None:
        return "a whole data set"
    if select.classes is not None:
        classes = select.classes
        return f"the class{'es' if len(classes) > 1 else ''} " + ", ".join(f"“{name}”" for name in classes)
    if select.ids is not None:
        return f"{len(select.ids)} listed samples"
    return f"a random share of {select.fraction:g} of the training samples"


def _render(template: str, document: ResultDocument, **more: Any) -> str:
    environment = Environment(
        loader=PackageLoader("negmerge.report"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        finalize=escape.seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "with_interval": with_interval, "hyper_parameters": hyper_parameters}
    environment.filters |= {"markdown": escape.markdown, "code": escape.code}
    return environment.get_template(template).render(
        result=document,
        rows=rows(document),
        compared=compared(document),
        main_label=label(document.method),
        forgotten=forgotten(document),
        forget_part=forget_part(document),
        **more,
    )
