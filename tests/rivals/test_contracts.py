"""What holds for every rival, on a real timm classifier with BatchNorm; and retraining, which builds its own."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from negmerge.decoding.dataset import Decoded
from negmerge.errors import DivergedError, Interrupted, SpecError
from negmerge.models.classifiers import Classifier
from negmerge.progress import OnStep, ignore
from negmerge.rivals._base import State, find, train_rival
from negmerge.spec.rivals import RivalOptions, rival_names
from tests.support import pico, pico_timm
from tests.support.states import same

ALL = rival_names()
TRAINED = [name for name in ALL if hasattr(find(name), "descend")]
"""Those that train, by the loop that they share."""
NO_HEAD = torch.zeros(0)
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 4}
CONFIG: dict[str, Any] = pico_timm.CONFIGS["resnet18"]


def classifier(seed: int) -> Classifier:
    """A pico ResNet at θ₀: random weights and random statistics, none as a fresh model has them."""
    module = pico_timm.module(CONFIG)
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: torch.full_like(tensor, 7)
        if not tensor.is_floating_point()
        else tensor + 0.1 * torch.rand(tensor.shape, generator=generator)
        for name, tensor in module.state_dict().items()
    }
    module.load_state_dict(state)
    return Classifier(module, CONFIG, state, "cpu")


def digits(begin: int, count: int) -> Decoded:
    """``count`` digits of mixed classes from the place ``begin`` on."""
    images, labels = pico.image_tensor(per_class=10)
    mixed = torch.arange(len(labels)).view(5, 10).T.reshape(-1)[begin : begin + count]
    return Decoded(images[mixed], labels[mixed], tuple(str(number) for number in mixed.tolist()))


FORGET, RETAIN, OTHERS = digits(0, 6), digits(6, 9), digits(15, 6)


@cache
def model() -> Classifier:
    """One for all tests: that each rival leaves it as it was is itself tested."""
    return classifier(seed=1)


def unlearn(name: str, seed: int = 3, on_step: OnStep = ignore, forget: Decoded = FORGET, **options: Any) -> State:
    short = {key: value for key, value in SHORT.items() if key in find(name).READS}
    return train_rival(name, RivalOptions(**(short | options)), model(), NO_HEAD, forget, RETAIN, seed, on_step)


@dataclass(frozen=True)
class Ran:
    """What a rival made of the model, what it told, and whether model and global random state were as before."""

    state: State
    told: list[tuple[int, int]]
    back: bool
    undisturbed: bool


@cache
def ran(name: str) -> Ran:
    """One run of each rival, which most claims are about."""
    told: list[tuple[int, int]] = []
    before = torch.get_rng_state()
    state = unlearn(name, on_step=lambda step, total, loss: told.append((step, total)))
    kept = torch.equal(torch.get_rng_state(), before)
    clean = all(parameter.grad is None for parameter in model().module.parameters())
    return Ran(state, told, clean and at_the_original(), kept)


def at_the_original() -> bool:
    return same(dict(model().module.state_dict()), dict(model().original)) and not model().module.training


def test_a_rival_that_does_not_exist_is_refused_with_the_names_of_those_that_do() -> None:
    with pytest.raises(SpecError, match=r"no rival 'random'.*random_label"):
        find("random")


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before(name: str) -> None:
    first = ran(name).state
    torch.rand(3)
    assert same(first, unlearn(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_another_seed_gives_other_weights(name: str) -> None:
    assert not same(ran(name).state, unlearn(name, seed=4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_afterwards_the_model_is_at_its_own_weights_to_the_bit(name: str) -> None:
    assert not same(ran(name).state, dict(model().original))
    assert ran(name).back


@pytest.mark.parametrize("name", ALL)
def test_an_interrupted_rival_leaves_the_model_at_its_own_weights(name: str) -> None:
    told = 0

    def on_step(step: int, total: int, loss: float | None) -> None:
        nonlocal told
        told += 1
        if told == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted, match="enough"):
        unlearn(name, on_step=on_step)
    assert told == 2
    assert at_the_original()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_global_random_state_is_left_alone(name: str) -> None:
    assert ran(name).undisturbed


@pytest.mark.parametrize("name", ALL)
def test_the_state_has_every_tensor_as_the_model_stores_it(name: str) -> None:
    state, original = ran(name).state, model().original
    assert list(state) == list(original)
    assert [(t.shape, t.dtype) for t in state.values()] == [(t.shape, t.dtype) for t in original.values()]


@pytest.mark.parametrize("name", TRAINED)
def test_the_statistics_of_batch_norm_are_those_of_the_training(name: str) -> None:
    """Seven batches were seen by θ₀; retraining forgets them, and all others count on from there, a batch a step."""
    before = 0 if name == "retrain" else 7
    steps, _ = ran(name).told[-1]
    assert int(ran(name).state["bn1.num_batches_tracked"]) == before + steps


def test_influence_leaves_the_statistics_of_batch_norm_alone() -> None:
    state = ran("influence").state
    moved = {name for name in state if not torch.equal(state[name], model().original[name])}
    assert moved == set(model().names)


@pytest.mark.parametrize("name", ALL)
def test_the_state_shares_no_memory_with_the_model(name: str) -> None:
    own = {tensor.data_ptr() for tensor in model().module.state_dict().values()}
    assert not own & {tensor.data_ptr() for tensor in ran(name).state.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_options_that_say_what_the_defaults_are_change_nothing(name: str) -> None:
    given = {key: vars(find(name).DEFAULTS)[key] for key in find(name).READS if key not in SHORT}
    assert same(ran(name).state, unlearn(name, **given))


CHANGED: dict[str, Any] = {
    "learning_rate": 0.02,
    "weight_decay": 0.1,
    "momentum": 0.3,
    "crop_flip": False,
    "batch_size": 3,
    "epochs": 3,
}


@pytest.mark.parametrize("key", CHANGED)
def test_each_option_has_an_effect_on_sgd(key: str) -> None:
    assert not same(ran("fine_tune").state, unlearn("fine_tune", **{key: CHANGED[key]}))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["influence", "l1_sparse", "salun"])
def test_strength_has_an_effect_on_what_is_learnt(name: str) -> None:
    assert not same(ran(name).state, unlearn(name, strength=0.9))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_a_huge_step_is_a_rival_that_diverged(name: str) -> None:
    """Larger than a spec may ask for: where the rival's model could bear that, another might not."""
    huge: dict[str, Any] = {"learning_rate": 1e38} if name in TRAINED else {"strength": 1e39}
    options = RivalOptions(epochs=2, batch_size=4) if name in TRAINED else RivalOptions()
    with pytest.raises(DivergedError, match=r"lower the (learning rate|strength)"):
        train_rival(name, options.model_copy(update=huge), model(), NO_HEAD, FORGET, RETAIN, 3)
    assert at_the_original()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("key", ["learning_rate", "weight_decay"])
def test_with_the_most_that_a_spec_may_ask_for_a_rival_diverges(name: str, key: str) -> None:
    most: dict[str, Any] = {key: 1e30}
    with pytest.raises(DivergedError, match="lower the learning rate"):
        unlearn(name, **most)
    assert at_the_original()


@pytest.mark.parametrize("name", ALL)
def test_steps_are_told_up_to_the_last(name: str) -> None:
    """Before the first step, at step 0, a rival may ask whether to go on without knowing how many there will be."""
    steps = ran(name).told
    assert steps == sorted(steps)
    assert len({total for step, total in steps if step > 0}) == 1
    assert steps[-1][0] == steps[-1][1]


def test_retraining_never_reads_the_forget_set() -> None:
    assert same(ran("retrain").state, unlearn("retrain", forget=OTHERS))


def test_retraining_knows_nothing_of_the_original_weights_nor_of_their_statistics() -> None:
    other = classifier(seed=2)
    again = train_rival("retrain", RivalOptions(**SHORT), other, NO_HEAD, FORGET, RETAIN, 3)
    assert not same(dict(other.original), dict(model().original))
    assert same(ran("retrain").state, again)


@pytest.mark.slow
def test_retraining_starts_from_weights_that_the_seed_draws() -> None:
    """With steps too small to see, what comes back is where it started."""
    still: dict[str, Any] = {"learning_rate": 1e-30, "weight_decay": 0.0}
    first, second = unlearn("retrain", seed=3, **still), unlearn("retrain", seed=4, **still)
    drawn = [name for name in model().names if name.endswith("weight") and first[name].std() > 0]
    assert len(drawn) >= 9
    for name in drawn:
        assert not torch.equal(first[name], second[name])
        assert not torch.equal(first[name], model().original[name])


def test_the_rate_of_retraining_falls_to_a_tenth_at_a_half_and_at_three_quarters() -> None:
    """The rate of a step is |Δθ| / |∇L|, here of the head's bias; 8 epochs of one batch each."""
    bias: Tensor = model().module.fc.bias
    rates: list[float] = []
    before = bias.detach().clone()

    def on_step(step: int, total: int, loss: float | None) -> None:
        nonlocal before
        assert bias.grad is not None
        if step > 1:  # the first step begins at weights that were not seen
            rates.append(float((bias.detach() - before).norm() / bias.grad.norm()))
        before = bias.detach().clone()

    plain: dict[str, Any] = {"momentum": 0.0, "weight_decay": 0.0}
    unlearn("retrain", on_step=on_step, learning_rate=0.1, epochs=8, batch_size=9, **plain)
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 2 + [0.001] * 2, rel=1e-3)
