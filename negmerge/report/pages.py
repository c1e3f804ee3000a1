"""The pages that people read: ``report.html`` (one file, nothing loaded from elsewhere) and ``MODEL_CARD.md``."""

from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from negmerge.naming import visible
from negmerge.report import card_data, escape, summary
from negmerge.spec import sweep_words, words
from negmerge.spec.result import ResultDocument


def html(document: ResultDocument) -> str:
    """The report of a result document, as one HTML page."""
    from negmerge.report import plots  # and with it matplotlib, which nothing before a job's last step needs

    pictures = {
        "scale_curve": plots.scale_curve(document),
        "consensus": plots.consensus_by_layer(document),
        "singles": plots.singles_beside_merged(document) if document.singles() else None,
    }
    return _render("report.html.jinja", document, pictures=pictures, comparison=summary.comparison(document))


def model_card(document: ResultDocument, of_transformers: bool = False) -> str:
    """The model card that travels with the weights: YAML that a hub reads, then Markdown.

    of_transformers: whether the model came in a folder of transformers, and goes out in one.
    """
    licence = card_data.licence_of(document.spec.base_model)
    body = _render("model_card.md.jinja", document, licence=licence, of_transformers=of_transformers)
    return f"{card_data.front_matter(document, of_transformers)}\n{body}"


def moment(at: datetime) -> str:
    """A time for people: 25 November 2026, 09:30 UTC."""
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def _render(template: str, document: ResultDocument, **more: Any) -> str:
    environment = Environment(
        loader=PackageLoader("negmerge.report"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        finalize=escape.seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": words.percent, "with_interval": words.with_interval, "plain": sweep_words.plain}
    environment.filters |= {"became": sweep_words.became}
    environment.filters |= {"markdown": escape.markdown, "code": escape.code, "called": words.called, "moment": moment}
    environment.filters |= {"visible": visible}
    points = summary.given(document)
    return environment.get_template(template).render(
        result=document,
        heading=words.heading(document),
        sentence=words.sentence(document),
        rows=summary.rows(document),
        varied=sweep_words.varied(points),
        constant=sweep_words.described(points[0], sweep_words.shared(points)) if points else "",
        forgotten=words.asked_to_forget(document),
        chosen=words.chosen(document),
        measured_on=words.measured_on(document.splits.forget_part),
        searched_on=words.searched_on(document.splits),
        words=words,
        **more,
    )
