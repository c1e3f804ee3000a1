"""The sweeps by name, against what was published."""

import pytest
from pydantic import ValidationError

from negmerge.spec.presets import PRESETS
from negmerge.spec.sweep import Grid, HyperParameters, Sweep, count, expand

# As the released CLIP code has them: data set → epochs of the fine-tuning, epochs of the pool of 30.
PUBLISHED = {
    "cars": (35, 70),
    "dtd": (76, 100),
    "eurosat": (12, 40),
    "gtsrb": (11, 40),
    "mnist": (5, 30),
    "resisc45": (15, 40),
    "sun397": (14, 40),
    "svhn": (4, 30),
}


def points(preset: str) -> list[HyperParameters]:
    return [point.hyper_parameters for point in expand(Sweep(preset=preset))]


def test_the_presets_are_two_for_each_published_data_set_and_one_of_our_own() -> None:
    published = {name for data_set in PUBLISHED for name in (f"clip-{data_set}", f"clip-finetune-{data_set}")}
    assert set(PRESETS) == published | {"classifier-27"}


@pytest.mark.parametrize("data_set", PUBLISHED)
def test_the_published_fine_tuning_is_one_point(data_set: str) -> None:
    assert points(f"clip-finetune-{data_set}") == [
        HyperParameters(
            learning_rate=1e-5, weight_decay=0.1, batch_size=128, warmup_steps=500, epochs=PUBLISHED[data_set][0]
        )
    ]


@pytest.mark.parametrize("data_set", PUBLISHED)
def test_a_published_pool_is_each_magnitude_with_each_number_of_operations(data_set: str) -> None:
    pool = [point.randaugment for point in points(f"clip-{data_set}")]
    assert [(r.magnitude, r.operations) for r in pool if r] == [
        (magnitude, operations) for magnitude in range(1, 11) for operations in (1, 2, 3)
    ]


@pytest.mark.parametrize("data_set", PUBLISHED)
def test_all_else_in_a_published_pool_is_the_published_fine_tuning_with_its_own_epochs(data_set: str) -> None:
    [single] = points(f"clip-finetune-{data_set}")
    plain = single.model_copy(update={"epochs": PUBLISHED[data_set][1]})
    pool = points(f"clip-{data_set}")
    assert [point.model_copy(update={"randaugment": None}) for point in pool] == [plain] * 30


def test_our_pool_for_classifiers_varies_epochs_weight_decay_and_label_smoothing() -> None:
    pool = points("classifier-27")
    assert {(p.epochs, p.weight_decay, p.label_smoothing) for p in pool} == {
        (epochs, decay, smoothing)
        for epochs in (40, 50, 60)
        for decay in (1e-4, 5e-5, 1e-5)
        for smoothing in (0.0, 0.05, 0.1)
    }
    assert {(p.learning_rate, p.optimizer) for p in pool} == {(0.05, "sgd")}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_no_more_than_the_grid_of_its_name(name: str) -> None:
    grid = Grid.model_validate(PRESETS[name])
    assert expand(Sweep(preset=name)) == expand(Sweep(grid=grid))
    assert count(Sweep(preset=name)) == grid.size()


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="unknown preset 'clip-horses'; known are clip-cars, "):
        Sweep(preset="clip-horses")
