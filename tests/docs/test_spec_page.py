"""The page on the job spec: no field without a word about it, no default that is not the code's."""

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from negmerge.rivals._base import find
from negmerge.spec import job as spec
from negmerge.spec import references, sweep
from negmerge.spec.derived import DerivedJobSpec
from negmerge.spec.fields import Spec
from negmerge.spec.job import ScaleRule
from negmerge.spec.rivals import RivalOptions, options_read, rival_names

PAGE = (Path(__file__).parents[2] / "docs" / "spec.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

MODELS: dict[str, tuple[type[Spec], ...]] = {
    "The job": (spec.JobSpec,),
    "base_model": (references.OpenClipModel, references.TimmModel),
    "forget and retain": (references.DatasetRef,),
    "select": (references.Select,),
    "require": (spec.Require,),
    "sweep": (sweep.Sweep,),
    "auto": (sweep.ChosenFor,),
    "Hyper-parameters": (sweep.HyperParameters,),
    "randaugment": (sweep.RandAugment,),
    "grid": (sweep.Grid,),
    "random": (sweep.RandomSweep,),
    "An interval": (sweep.Interval,),
    "merge": (spec.Merge,),
    "scale_search": (spec.ScaleSearch,),
    "Rivals": (RivalOptions,),
}
"""The page's sections → what each describes."""

FIELDS = [(title, model, name) for title, models in MODELS.items() for model in models for name in model.model_fields]


def table(title: str, head: str) -> dict[str, list[str]]:
    """A section's table whose first column is called ``head``: name → the row's other cells."""
    [found] = re.findall(rf"^\| {head} \|.+\n\|[-| ]+\|\n((?:\|.+\n?)+)", SECTIONS[title], re.MULTILINE)
    rows: dict[str, list[str]] = {}
    for line in found.splitlines():
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows |= dict.fromkeys(re.findall(r"`(\w+)`", first), cells)
    return rows


def literals(annotation: Any) -> Iterator[str]:
    """All words of the Literals in a type, however deep, but not those of other specs."""
    if get_origin(annotation) is Literal:
        yield from (word for word in get_args(annotation) if isinstance(word, str))
    for part in get_args(annotation):
        yield from literals(part)


def test_every_part_of_the_spec_has_a_section() -> None:
    parts = {part for part in Spec.__subclasses__() if part.__module__.startswith("negmerge.")}
    assert {model for models in MODELS.values() for model in models} | {DerivedJobSpec} == parts
    assert set(SECTIONS) - {"from_job"} == set(MODELS)  # which is a way to write a whole spec


@pytest.mark.parametrize("title", MODELS)
def test_a_section_names_every_field_in_order_and_no_other(title: str) -> None:
    fields = dict.fromkeys(name for model in MODELS[title] for name in model.model_fields)
    assert list(table(title, "field")) == list(fields)


@pytest.mark.parametrize(("title", "model", "name"), FIELDS)
def test_the_default_of_a_field_is_the_codes(title: str, model: type[Spec], name: str) -> None:
    field, told = model.model_fields[name], table(title, "field")[name][1]
    if field.is_required():
        assert told == "required"
        return
    default = field.get_default(call_default_factory=True)
    value = json.loads(told.strip("`"))
    if isinstance(default, BaseModel):
        value = type(default).model_validate(value)
    assert (value, type(value)) == (default, type(default))


@pytest.mark.parametrize(("title", "model", "name"), FIELDS)
def test_the_words_that_a_field_takes_are_named(title: str, model: type[Spec], name: str) -> None:
    kind = table(title, "field")[name][0]
    assert [word for word in literals(model.model_fields[name].annotation) if f'"{word}"' not in kind] == []


def test_the_rules_are_explained() -> None:
    assert list(table("scale_search", "rule")) == list(get_args(ScaleRule))


EXAMPLES = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


def test_all_examples_are_specs() -> None:
    chosen, clip, classifier = (spec.parse(example) for example in EXAMPLES)
    assert chosen.sweep.is_open
    assert (clip.base_model.family, classifier.base_model.family) == ("open_clip", "timm")
    assert {point.hyper_parameters.optimizer for point in classifier.points()} == {"sgd"}


def test_a_classifiers_defaults_are_the_codes() -> None:
    told = {name: json.loads(cells[0].strip("`")) for name, cells in table("Hyper-parameters", "default").items()}
    assert told == sweep.CLASSIFIER_DEFAULTS


RIVALS = table("Rivals", "rival")


def test_the_rivals_on_the_page_are_there() -> None:
    """A new one may stay away: nothing has to know of it (``docs/adding-a-rival.md``)."""
    assert set() < set(RIVALS) <= set(rival_names())


@pytest.mark.parametrize("name", RIVALS)
def test_the_settings_of_a_rival_are_the_codes_and_those_that_it_reads(name: str) -> None:
    """All but ``strength`` and ``batch_size`` are read by the loop that the rivals share."""
    source = inspect.getsource(importlib.import_module(f"negmerge.rivals.{name}"))
    shared, own = "descend(task" in source, {*re.findall(r"settings\.(\w+)", source)}
    columns = dict(zip(("learning_rate", "epochs", "batch_size", "strength"), RIVALS[name], strict=False))
    for option, told in columns.items():
        read = option in own or (shared and option != "strength")
        assert (told != "–") == read == (option in options_read(name)), option
        assert not read or float(told) == asdict(find(name).DEFAULTS)[option], option


@pytest.mark.parametrize("option", ["weight_decay", "momentum", "crop_flip"])
def test_what_is_said_to_be_each_rivals_own_is(option: str) -> None:
    [told] = re.findall(r"Each rival's own is (\S+)\.$", table("Rivals", "field")[option][2])
    value = json.loads(told)
    assert {asdict(find(name).DEFAULTS)[option] for name in RIVALS} == {value}


def test_a_job_may_name_every_preset_that_the_page_names() -> None:
    named = set(re.findall(r"`(cl(?:ip|assifier)-[\w-]+)`", PAGE))
    assert named
    for name in named:
        sweep.Sweep.model_validate({"preset": name})
