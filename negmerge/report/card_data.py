"""The head of a model card: what a hub of Hugging Face's reads of a model, as YAML between two lines of dashes.

The keys are those of its model cards (hub-docs, ``modelcard.md``); what is not known is left out.
"""

import math
from collections.abc import Iterator
from typing import Any

import yaml

from negmerge.naming import visible
from negmerge.spec.figures import SIDES, Part
from negmerge.spec.references import BaseModelSpec
from negmerge.spec.result import ResultDocument
from negmerge.spec.sources import RegistryTag

TASKS = {"open_clip": "zero-shot-image-classification", "timm": "image-classification"}
"""What the hub calls that which a model of each family does."""

LICENCES = {"apache-2.0", "apple-amlr", "apple-ascl", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "gemma", "mit"}
"""Those of timm's registry that the hub has in its own list; any other is ``other`` there, with a name."""


def front_matter(document: ResultDocument, of_transformers: bool = False) -> str:
    """The lines of dashes and the YAML between them, with a line's end behind the last.

    of_transformers: whether the model came in a folder of transformers, and goes out in one.
    """
    library = "transformers" if of_transformers else document.spec.base_model.family
    text = yaml.dump(_data(document, library), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)
    return f"---\n{text}---\n"


def licence_of(base_model: BaseModelSpec) -> str | None:
    """The licence of a base model's weights: only timm's registry says one, by the tag. None where it is not known."""
    published = _published(base_model)
    said: str | None = None if published is None else published.license
    return None if said == "unknown" else said


class _Foreign(str):
    """Text of others: always in double quotes, so that no reader of YAML, 1.1 or 1.2, takes it for a number or a date.

    ``visible`` has escaped what would break a line or the direction of the text.
    """

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Foreign, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
)


def _data(document: ResultDocument, library: str) -> dict[str, Any]:
    base_model = document.spec.base_model
    licence, repository = licence_of(base_model), _repository_of(document)
    data: dict[str, Any] = {}
    if licence is not None:
        data |= {"license": licence} if licence in LICENCES else {"license": "other", "license_name": _Foreign(licence)}
    if repository is not None:
        data["base_model"] = _Foreign(repository)
    data |= {"library_name": library, "pipeline_tag": TASKS[base_model.family]}
    data["tags"] = ["machine-unlearning", "negmerge", library]
    if results := _results(document):
        became = "nothing unlearned" if document.outcome == "nothing_unlearned" else "after unlearning"
        name = f"{visible(document.asked.base_model.name)}, {became}"
        data["model-index"] = [{"name": _Foreign(name), "results": results}]
    return data


def _repository_of(document: ResultDocument) -> str | None:
    """The repository of the base model on the hub, where it came from one or a registry names one."""
    if document.asked.hub is not None:
        return document.asked.hub.partition("@")[0]
    base_model = document.spec.base_model
    if base_model.family == "timm":
        published = _published(base_model)
        return None if published is None else published.hf_hub_id
    source, architecture = base_model.source, base_model.architecture
    if not isinstance(source, RegistryTag) or not isinstance(architecture, str):
        return None
    import open_clip

    place = open_clip.get_pretrained_cfg(architecture, source.tag).get("hf_hub", "")  # owner/name/file
    return "/".join(place.split("/")[:2]) or None


def _published(base_model: BaseModelSpec) -> Any:
    """What timm's registry knows of weights that a spec names by their tag; None where it is no such tag."""
    source, architecture = base_model.source, base_model.architecture
    if base_model.family != "timm" or not isinstance(source, RegistryTag) or not isinstance(architecture, str):
        return None
    import timm

    try:
        return timm.get_pretrained_cfg(f"{architecture}.{source.tag}")
    except RuntimeError:  # no such tag
        return None


def _results(document: ResultDocument) -> list[dict[str, Any]]:
    """A result for each data set and part that was measured: the accuracies after unlearning, and before."""
    task = {"type": TASKS[document.spec.base_model.family]}
    places: dict[tuple[str, Part], list[dict[str, Any]]] = {}
    for name, part, metric in _metrics(document):
        places.setdefault((visible(name), part), []).append(metric)
    return [
        {
            "task": dict(task),
            "dataset": {"type": _Foreign(name), "name": _Foreign(name), "split": part},
            "metrics": found,
        }
        for (name, part), found in places.items()
    ]


def _metrics(document: ResultDocument) -> Iterator[tuple[str, Part, dict[str, Any]]]:
    """Data set, part and metric of each figure that there is; a side without samples has none."""
    named = {"forget": document.asked.forget.name, "retain": document.asked.retain.name}
    parts: dict[str, Part] = {"forget": document.splits.forget_part, "retain": "test"}
    rows = {"": document.methods[document.method], ", base model": document.methods["base"]}
    for side in SIDES:
        for whose, row in rows.items():
            figure = row.figure(parts[side], side)
            if figure is not None:
                metric = {"type": "accuracy", "value": figure.accuracy, "name": f"{side} accuracy{whose}"}
                yield named[side], parts[side], metric
