"""The comparison's table: which figure stands in which column, and its mean and spread."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from negmerge.decoding.dataset import Decoded
from negmerge.evaluation.assessment import Assessment
from negmerge.evaluation.figures import Figures
from negmerge.evaluation.metrics import Count, Evaluation
from negmerge.evaluation.prepared import Prepared
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.prepare import prepare
from negmerge.report.comparison import Run, table, table_parts
from negmerge.spec.figures import PARTS as ALL_PARTS
from negmerge.spec.figures import Part
from negmerge.spec.job import parse
from tests.support import pico, pico_timm

pytestmark = pytest.mark.slow

PARTS: dict[str, Part] = {"forget": "train", "retain": "train", "test": "test"}
FOUR: dict[str, Any] = {"classes": ["four"]}
SAMPLES: dict[str, Any] = {"fraction": 0.2}


def assessment(retain: int, forget: int, test: int, membership: int | None = None) -> Assessment:
    """Hundreds: so many of a hundred samples each."""

    def of(correct: int) -> Evaluation:
        return Evaluation(Count(correct, 100), {})

    figures: Figures = {"train": {"retain": of(retain), "forget": of(forget)}, "test": {"retain": of(test)}}
    return Assessment(figures, None if membership is None else Count(membership, 100))


def prepared(folder: Path, family: str, select: dict[str, Any], control: bool = False) -> Prepared:
    """A job of the family, prepared: ten digits of each class, and another archive to retain where asked for."""
    model = (pico_timm if family == "timm" else pico).make_model(folder / "model")
    digits = pico.make_archive(folder / "digits.zip", per_class=10)
    others = pico.make_archive(folder / "control.zip", ["zero", "one"], per_class=10) if control else digits
    spec = parse(
        {
            "base_model": {"family": family, "weights": str(model)},
            "forget": {"uri": str(digits), "select": select},
            "retain": {"uri": str(others)},
            "sweep": {"grid": {"epochs": [1]}},
        }
    )
    return prepare(spec, open_model(spec, "cpu"), *open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES))


def test_mean_and_deviation_are_over_the_repeats() -> None:
    """90, 92 and 97: mean 93, squared distances 9 + 1 + 16, over n − 1 = 2: 13."""
    [row] = table({"uniform": [Run(assessment(0, forget, 0)) for forget in (90, 92, 97)]}, PARTS)
    assert row.as_json()["forget"] == {
        "mean": pytest.approx(0.93),
        "deviation": pytest.approx(0.13**0.5 / 10),
        "repeats": 3,
    }


def test_one_run_has_no_deviation() -> None:
    [row] = table({"uniform": [Run(assessment(80, 70, 60))]}, PARTS)
    assert row.as_json()["retain"] == {"mean": 0.8, "deviation": None, "repeats": 1}


def test_the_gap_is_to_the_retrained_model_of_the_same_repeat() -> None:
    """Repeat 1: |100−99| + |95−91| + |90−92| + |10−13| = 10, over 4; repeat 2: all equal."""
    merges = [Run(assessment(99, 91, 92, 13)), Run(assessment(98, 90, 88, 12))]
    retrained = [Run(assessment(100, 95, 90, 10)), Run(assessment(98, 90, 88, 12))]
    rows = {row.method: row.as_json() for row in table({"negmerge": merges, "retrain": retrained}, PARTS)}
    assert rows["negmerge"]["gap"]["mean"] == pytest.approx((2.5 + 0) / 2)
    assert rows["retrain"]["gap"]["mean"] == 0


def test_the_one_base_model_is_compared_with_every_retrained_one() -> None:
    retrained = [Run(assessment(100, 90, 90, 10)), Run(assessment(100, 94, 90, 10))]
    runs = {"base": [Run(assessment(100, 98, 90, 10))], "retrain": retrained}
    rows = {row.method: row.as_json() for row in table(runs, PARTS)}
    assert rows["base"]["gap"] == {"mean": pytest.approx(1.5), "deviation": pytest.approx(0.5**0.5), "repeats": 2}
    assert rows["base"]["forget"]["repeats"] == 1


def test_without_a_retrained_model_there_is_no_gap() -> None:
    [row] = table({"negmerge": [Run(assessment(99, 91, 92, 13))]}, PARTS)
    assert row.gap is None


def test_a_repeat_that_diverged_is_left_out_of_the_mean_and_of_no_other_repeats_gap() -> None:
    salun = [Run(Assessment({})), Run(assessment(100, 92, 90, 10))]
    retrained = [Run(assessment(0, 0, 0, 0)), Run(assessment(100, 90, 90, 10))]
    rows = {row.method: row.as_json() for row in table({"salun": salun, "retrain": retrained}, PARTS)}
    assert rows["salun"]["forget"] == {"mean": 0.92, "deviation": None, "repeats": 1}
    assert rows["salun"]["gap"]["mean"] == pytest.approx(0.5)


def test_a_column_is_read_on_its_part_and_is_empty_where_it_has_none() -> None:
    of = {part: Evaluation(Count(correct, 100), {}) for part, correct in zip(ALL_PARTS, (80, 70, 60), strict=True)}
    run = Run(Assessment({part: {"forget": found, "retain": found} for part, found in of.items()}))
    [row] = table({"negmerge": [run]}, {"forget": "validation", "retain": "test"})
    cells = row.as_json()
    assert (cells["forget"]["mean"], cells["retain"]["mean"], cells["test"]) == (0.7, 0.6, None)


@pytest.mark.parametrize(
    ("select", "control", "parts"),
    [
        (FOUR, False, {"forget": "test", "retain": "test"}),
        (FOUR, True, {"forget": "test", "retain": "test"}),
        (SAMPLES, False, {"forget": "train", "retain": "test"}),
        (SAMPLES, True, {"forget": "train", "retain": "test"}),
    ],
    ids=["class", "class, control set", "samples", "samples, control set"],
)
def test_a_zero_shot_model_is_compared_on_test_data_where_the_forget_set_has_any(
    tmp_path: Path, select: dict[str, Any], control: bool, parts: dict[str, str]
) -> None:
    assert table_parts(prepared(tmp_path, "open_clip", select, control), is_classifier=False) == parts


@pytest.mark.parametrize("select", [FOUR, SAMPLES], ids=["class", "samples"])
def test_a_classifier_is_compared_on_what_it_was_trained_on_and_on_test_data_of_what_stays(
    tmp_path: Path, select: dict[str, Any]
) -> None:
    assert table_parts(prepared(tmp_path, "timm", select), is_classifier=True) == PARTS


@pytest.mark.parametrize(
    ("select", "part"), [(FOUR, "test"), (SAMPLES, "train")], ids=["class: test data", "samples: themselves"]
)
def test_a_classifier_whose_control_set_is_never_trained_on_is_compared_on_that_sets_test_data(
    tmp_path: Path, select: dict[str, Any], part: str
) -> None:
    parts = table_parts(prepared(tmp_path, "timm", select, control=True), is_classifier=True)
    assert parts == {"forget": part, "retain": "test"}


def test_a_classifier_without_test_data_of_what_stays_has_no_test_column(tmp_path: Path) -> None:
    one = prepared(tmp_path, "timm", SAMPLES)
    nothing = Decoded(torch.zeros(0, 3, 16, 16, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), ())
    without = replace(one, retain=replace(one.retain, parts={**one.retain.parts, "test": nothing}))
    assert table_parts(without, is_classifier=True) == {"forget": "train", "retain": "test"}
