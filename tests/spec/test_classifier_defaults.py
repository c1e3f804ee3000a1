"""What a sweep leaves out has the family's own default: a CLIP's, or for classifiers SGD's."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.errors import SpecError
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.presets import PRESETS
from negmerge.spec.sweep import HyperParameters, Sweep, expand

CLIP = {"family": "open_clip", "architecture": "ViT-B-32", "weights": "openai"}
CLASSIFIER = {"family": "timm", "architecture": "resnet18", "weights": "a1_in1k"}
WHOLE = {"learning_rate": 0.02, "weight_decay": 1e-4, "epochs": 3, "batch_size": 64, "optimizer": "sgd"}
OWN = HyperParameters(learning_rate=0.05, weight_decay=5e-5, epochs=10, batch_size=256, optimizer="sgd")
"""A classifier's point that says nothing itself, as docs/spec.md has it."""


def job(model: dict[str, Any], **sweep: Any) -> JobSpec:
    data = {"dataset": "ds_1"}
    return parse({"base_model": model, "forget": data | {"select": {"fraction": 0.1}}, "retain": data, "sweep": sweep})


def points(model: dict[str, Any], **sweep: Any) -> list[HyperParameters]:
    return [point.hyper_parameters for point in job(model, **sweep).points()]


@pytest.mark.parametrize(
    "sweep",
    [
        {"points": [{"label_smoothing": 0.1}]},
        {"grid": {"label_smoothing": [0.1]}},
        {"random": {"count": 1, "label_smoothing": [0.1]}},
    ],
    ids=["points", "grid", "random"],
)
def test_a_classifiers_point_is_completed_by_its_own_defaults(sweep: dict[str, Any]) -> None:
    assert points(CLASSIFIER, **sweep) == [OWN.model_copy(update={"label_smoothing": 0.1})]
    assert points(CLIP, **sweep) == [HyperParameters(label_smoothing=0.1)]


RATES = {"learning_rate": 1e-3, "weight_decay": 0.01}


def test_a_classifier_that_is_told_adamw_has_its_own_defaults_for_what_is_no_optimizers() -> None:
    [adamw] = points(CLASSIFIER, points=[RATES | {"optimizer": "adamw"}])
    assert adamw == OWN.model_copy(update=RATES | {"optimizer": "adamw"})


@pytest.mark.parametrize(("model", "other"), [(CLASSIFIER, "adamw"), (CLIP, "sgd")], ids=["classifier", "CLIP"])
@pytest.mark.parametrize("missing", RATES)
def test_an_optimizer_without_known_defaults_for_the_family_asks_for_its_rate_and_decay(
    model: dict[str, Any], other: str, missing: str
) -> None:
    given = {name: value for name, value in RATES.items() if name != missing}
    axes = {name: [value] for name, value in given.items()} | {"optimizer": ["adamw", "sgd"]}
    for sweep, pointer in (
        ({"points": [given | {"optimizer": other}]}, f"/sweep/points/0/{missing}"),
        ({"grid": axes}, f"/sweep/grid/{missing}"),
        ({"random": axes | {"count": 2}}, f"/sweep/random/{missing}"),
    ):
        with pytest.raises(SpecError, match=f"none that is known for .*: give {missing}") as caught:
            job(model, **sweep)
        assert [error.pointer for error in caught.value.errors] == [pointer]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_for_one_family_and_refused_for_the_other(name: str) -> None:
    own, other = (CLASSIFIER, CLIP) if name.startswith("classifier") else (CLIP, CLASSIFIER)
    assert points(own, preset=name) == [point.hyper_parameters for point in expand(Sweep(preset=name))]
    with pytest.raises(SpecError, match=f"{name} is a pool for .*, and the base model is a") as caught:
        job(other, preset=name)
    assert [error.pointer for error in caught.value.errors] == ["/sweep/preset"]


def test_the_seed_of_a_point_that_is_named_in_full_is_the_same_whatever_the_family() -> None:
    canonical = (
        '7:{"batch_size":64,"epochs":3,"label_smoothing":0.0,"learning_rate":0.02,"optimizer":"sgd",'
        '"randaugment":null,"seed":null,"warmup_steps":null,"weight_decay":0.0001}'
    )
    by_hand = int(hashlib.sha256(canonical.encode()).hexdigest()[:16], 16) // 2
    for model in (CLASSIFIER, CLIP):
        for sweep in ({"points": [WHOLE]}, {"grid": {name: [value] for name, value in WHOLE.items()}}):
            assert [point.seed for point in job(model, **sweep, seed=7).points()] == [by_hand]


VALUES: dict[str, Any] = {
    "learning_rate": st.floats(1e-6, 1.0),
    "weight_decay": st.floats(0.0, 1.0),
    "epochs": st.integers(1, 50),
    "batch_size": st.integers(1, 512),
    "optimizer": st.sampled_from(["adamw", "sgd"]),
    "label_smoothing": st.floats(0.0, 0.5),
    "crop_flip": st.booleans(),
}


NAMED = st.fixed_dictionaries({}, optional=VALUES).map(
    lambda given: given if given.get("optimizer") != "adamw" else RATES | given
)


@given(NAMED)
def test_what_a_point_says_itself_stays_as_it_says(given_values: dict[str, Any]) -> None:
    [point] = points(CLASSIFIER, points=[given_values])
    assert {name: getattr(point, name) for name in given_values} == given_values


@given(NAMED)
def test_a_completed_spec_reads_the_same_again(given_values: dict[str, Any]) -> None:
    spec = job(CLASSIFIER, points=[given_values])
    stored = json.loads(json.dumps(spec.model_dump(mode="json")))
    assert parse(stored) == spec
    assert parse(stored).points() == spec.points()


def test_a_draw_is_the_same_for_both_families() -> None:
    axes = {"count": 20, "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "label_smoothing": [0.0, 0.1]}
    drawn = [[(p.learning_rate, p.label_smoothing) for p in points(model, random=axes)] for model in (CLIP, CLASSIFIER)]
    assert drawn[0] == drawn[1]


def test_a_sweep_without_a_job_has_a_clips_defaults() -> None:
    assert [point.hyper_parameters for point in expand(Sweep(points=[HyperParameters()]))] == [HyperParameters()]
