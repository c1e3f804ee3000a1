"""The sweep ``auto``: its pools by hand, what bounds them, and that a chosen pool is the same again."""

import json
from collections.abc import Callable
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.errors import SpecError
from negmerge.spec import auto
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.sweep import HyperParameters, Sweep, expand

CLIP = {"family": "open_clip", "architecture": "ViT-B-32", "weights": "openai"}
CLASSIFIER = {"family": "timm", "architecture": "resnet18", "weights": "a1_in1k"}
VIT_B_32 = 87_849_216
DIGITS = 343_776
"""Parameters of a tower like the demo's: the root of VIT_B_32 over it is 15.99."""


def job(model: dict[str, Any] = CLIP, select: Any = None, sweep: Any = "auto", **changes: Any) -> JobSpec:
    data = {"dataset": "ds_1"}
    forget = data | {"select": select or {"classes": ["seven"]}}
    return parse({"base_model": model, "forget": forget, "retain": data, "sweep": sweep} | changes)


def pool(points: list[HyperParameters], *names: str) -> list[tuple[Any, ...]]:
    return sorted({tuple(getattr(point, name) for name in names) for point in points})


def points_of(spec: JobSpec) -> list[HyperParameters]:
    return [point.hyper_parameters for point in spec.points()]


def test_a_small_clip_that_forgets_143_samples_has_three_rates_around_its_own() -> None:
    """5 steps an epoch in batches of 32; 25 steps take 5 epochs, 75 take 15. The rate is 1e-5 × 15.99 = 1.6e-4."""
    points = points_of(auto.resolved(job(), 143, DIGITS))
    assert len(points) == 12
    assert pool(points, "batch_size", "epochs") == [(32, 5), (32, 15)]
    assert pool(points, "learning_rate") == [(8e-5,), (1.6e-4,), (3.2e-4,)]
    assert pool(points, "label_smoothing", "weight_decay", "optimizer") == [(0.0, 0.1, "adamw"), (0.05, 0.1, "adamw")]


def test_twelve_samples_are_seen_often_enough_to_be_learnt() -> None:
    """2 steps an epoch in batches of 8, which is not above a dozen; 25 steps take 13 epochs, 75 take 38."""
    points = points_of(auto.resolved(job(select={"ids": ["a"]}), 12, DIGITS))
    assert pool(points, "batch_size", "epochs") == [(8, 13), (8, 38)]


@pytest.mark.parametrize("select", [{"ids": ["a"]}, {"fraction": 0.1}], ids=["ids", "fraction"])
def test_a_clip_that_forgets_single_samples_is_trained_without_smoothing(select: dict[str, Any]) -> None:
    points = points_of(auto.resolved(job(select=select), 143, DIGITS))
    assert pool(points, "label_smoothing", "weight_decay") == [(0.0, 0.0), (0.0, 0.1)]


def test_a_classifier_that_forgets_900_samples_has_the_rates_of_both_sources() -> None:
    points = points_of(auto.resolved(job(CLASSIFIER), 900, None))
    assert len(points) == 12
    assert pool(points, "batch_size", "epochs") == [(128, 4), (128, 10)]
    assert pool(points, "learning_rate") == [(0.01,), (0.02,), (0.05,)]
    assert pool(points, "weight_decay", "optimizer") == [(1e-5, "sgd"), (1e-4, "sgd")]
    assert pool(points, "label_smoothing", "crop_flip") == [(0.0, False)]


@pytest.mark.parametrize(
    ("parameters", "rate"),
    [(VIT_B_32, 1e-5), (303_966_208, 1e-5), (VIT_B_32 // 4, 2e-5), (VIT_B_32 // 100, 1e-4), (1000, 5e-4)],
    ids=["ViT-B/32", "ViT-L/14", "a quarter", "a hundredth", "tiny"],
)
def test_a_clips_rate_is_the_published_one_times_the_root_of_how_much_smaller_it_is(
    parameters: int, rate: float
) -> None:
    assert auto.clip_rate(parameters) == rate


def test_many_samples_are_seen_once_by_short_points_and_three_times_by_long_ones() -> None:
    points = points_of(auto.resolved(job(), 20_000, VIT_B_32))
    assert pool(points, "batch_size", "epochs") == [(128, 1), (128, 3)]


def torchvision(name: str) -> dict[str, Any]:
    return {"torchvision": name, "root": "/data"}


@pytest.mark.parametrize(
    ("name", "preset"), [("StanfordCars", "clip-cars"), ("SVHN", "clip-svhn"), ("RESISC45", "clip-resisc45")]
)
def test_a_published_set_that_a_clip_forgets_whole_has_its_published_pool(name: str, preset: str) -> None:
    spec = job(forget=torchvision(name), retain=torchvision("ImageNet"))
    found = auto.resolved(spec, None, VIT_B_32)
    assert points_of(found) == [point.hyper_parameters for point in expand(Sweep(preset=preset))]
    chosen = auto.chosen(found.sweep, classifier=False)
    assert chosen is not None
    assert (chosen.points, chosen.steps, chosen.images) == (30, None, None)
    assert preset in chosen.why


@pytest.mark.parametrize(
    ("forget", "parameters"),
    [
        (torchvision("SVHN") | {"select": {"classes": ["seven"]}}, VIT_B_32),
        (torchvision("SVHN"), DIGITS),
        (torchvision("CIFAR10"), VIT_B_32),
    ],
    ids=["a part of it", "a small model", "without a pool"],
)
def test_anything_else_has_a_pool_of_twelve(forget: dict[str, Any], parameters: int) -> None:
    spec = job(forget=forget, retain=torchvision("ImageNet"))
    assert len(points_of(auto.resolved(spec, 500, parameters))) == 12


SIZES = st.integers(1, auto.MAX_SAMPLES)


@given(SIZES, st.integers(1, 10**10), st.booleans())
def test_a_pool_is_twelve_points_of_enough_steps_at_a_bounded_cost(samples: int, size: int, classifier: bool) -> None:
    spec = auto.resolved(job(CLASSIFIER if classifier else CLIP), samples, size)
    points = points_of(spec)
    chosen = auto.chosen(spec.sweep, classifier)
    assert chosen is not None
    steps = [point.epochs * ceil(samples / point.batch_size) for point in points]
    assert len({point.model_dump_json() for point in points}) == 12
    assert all(point.batch_size <= samples for point in points)
    assert min(steps) >= 25
    assert (chosen.points, chosen.steps) == (12, sum(steps))
    assert chosen.images == sum(point.epochs for point in points) * samples <= 2_400_000


@given(SIZES, SIZES)
def test_a_larger_forget_set_has_no_smaller_batch(one: int, other: int) -> None:
    small, large = sorted([one, other])
    assert auto.batch_size(small) <= auto.batch_size(large)


@pytest.mark.parametrize(("model", "size"), [(CLIP, DIGITS), (CLASSIFIER, None)], ids=["CLIP", "classifier"])
def test_a_chosen_spec_reads_the_same_again_and_is_chosen_no_further(model: dict[str, Any], size: int | None) -> None:
    spec = auto.resolved(job(model), 143, size)
    again = parse(json.loads(json.dumps(spec.model_dump(mode="json", exclude_none=True))))
    assert again == spec == auto.resolved(again, 143, size)
    assert again.points() == spec.points()


def test_the_sweeps_seed_and_what_becomes_of_diverged_points_stay_as_given() -> None:
    plain, other = (job(sweep={"auto": True, "seed": seed, "on_diverged": "fail"}) for seed in (0, 7))
    chosen = auto.resolved(other, 143, DIGITS)
    assert (chosen.sweep.seed, chosen.sweep.on_diverged) == (7, "fail")
    seeds = [{point.seed for point in auto.resolved(spec, 143, DIGITS).points()} for spec in (plain, other)]
    assert seeds[0].isdisjoint(seeds[1])


def test_a_job_without_auto_is_as_it_was() -> None:
    spec = job(sweep={"grid": {"epochs": [1, 2]}})
    assert auto.resolved(spec, None, None) is spec
    assert auto.chosen(spec.sweep, classifier=False) is None


def refusal(what: Callable[[], object]) -> str:
    with pytest.raises(SpecError) as caught:
        what()
    [error] = caught.value.errors
    assert error.pointer in ("/sweep", "/sweep/auto")
    return error.detail


@pytest.mark.parametrize(
    ("model", "samples", "size", "told"),
    [
        (CLIP, None, DIGITS, "how many samples are forgotten, which nobody has counted yet: upload the data set"),
        (CLASSIFIER, None, None, "how many samples are forgotten"),
        (CLIP, 143, None, "how large the model is, whose weights nobody has read yet: upload it"),
        (CLIP, 100_001, DIGITS, '100001 training samples are forgotten, and "auto" is for 100000 at most'),
    ],
    ids=["no count", "no count, classifier", "no size", "too many"],
)
def test_what_auto_cannot_know_is_refused_with_what_to_do(
    model: dict[str, Any], samples: int | None, size: int | None, told: str
) -> None:
    detail = refusal(lambda: auto.resolved(job(model), samples, size))
    assert told in detail
    assert "give a grid or a preset" in detail


def tampered(field: str, value: Any) -> JobSpec:
    document = auto.resolved(job(), 143, DIGITS).model_dump(mode="json", exclude_none=True)
    document["sweep"][field] = value
    return parse(document)


@pytest.mark.parametrize(
    ("field", "value"),
    [("points", [{"epochs": 3}]), ("auto", {"samples": 144, "selected": "classes", "parameters": DIGITS})],
)
def test_points_that_auto_would_not_choose_here_are_not_called_its_choice(field: str, value: Any) -> None:
    spec = tampered(field, value)
    assert "leave auto away to train these" in refusal(lambda: auto.resolved(spec, 143, DIGITS))


def test_points_of_another_rule_are_not_explained_by_this_one() -> None:
    assert auto.chosen(tampered("points", [{"epochs": 3}]).sweep, classifier=False) is None


def test_a_stored_sweep_that_this_version_does_not_take_is_not_explained() -> None:
    assert auto.chosen({"auto": {"of": "another version"}, "points": []}, classifier=False) is None


def test_the_points_are_not_asked_for_before_they_are_chosen() -> None:
    assert refusal(job().points) == "the points are not chosen yet"


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ("automatic", 'should be an object, or the word "auto"'),
        (
            {"auto": True, "grid": {"epochs": [1]}},
            "give exactly one of grid, points, random, preset, auto, not grid, auto",
        ),
        ({"auto": {"selected": "ids"}}, "says what points were chosen for: give these points too, or write true"),
        ({"auto": False}, "Input should be True"),
    ],
    ids=["another word", "beside a grid", "without points", "false"],
)
def test_a_sweep_that_says_auto_wrongly_is_refused(sweep: Any, told: str) -> None:
    assert told in refusal(lambda: job(sweep=sweep))


def why(parameters: int) -> str:
    chosen = auto.chosen(auto.resolved(job(), 143, parameters).sweep, classifier=False)
    assert chosen is not None
    return chosen.why


def test_why_names_what_was_chosen_and_for_what() -> None:
    assert why(DIGITS) == (
        "A CLIP with 0.344 million parameters in its image tower: AdamW at 8e-05, 0.00016, 0.00032, which are half, "
        "once and twice the published 1e-05 times the root of how much smaller that is than ViT-B/32's 88 million. "
        "143 training samples of whole classes: batches of 32, 5 and 15 epochs, which are 25 and 75 steps; "
        "weight decay 0.1, label smoothing 0 and 0.05."
    )


def test_why_says_where_the_rate_is_not_the_roots() -> None:
    assert "5e-06, 1e-05, 2e-05, which are half, once and twice the published rate." in why(VIT_B_32)
    assert "which are half, once and twice the highest rate for small towers." in why(1000)


def test_a_towers_size_is_of_its_parameters_alone() -> None:
    sizes = {"visual.conv1.weight": 40, "visual.bn1.weight": 4, "visual.bn1.running_mean": 4, "token_embedding": 9}
    assert auto.tower_parameters(sizes) == 44
