"""Fine-tuning one point: AdamW and SGD worked by hand, schedules by formula, and what must not move does not."""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from negmerge.errors import DataError, DivergedError, Interrupted
from negmerge.models.loading import load_zero_shot
from negmerge.models.zero_shot import ZeroShotModel
from negmerge.spec.precision import Precision
from negmerge.spec.sweep import HyperParameters, RandAugment
from negmerge.training.batching import batches
from negmerge.training.fine_tune import Tuned, fine_tune, learning_rate, warmup_steps
from tests.support import pico

pytestmark = pytest.mark.slow

CLASSES = list(pico.CLASS_WORDS)
ONE_STEP = HyperParameters(learning_rate=1e-3, weight_decay=0.2, epochs=1, batch_size=1000, warmup_steps=0)
FEW_STEPS = HyperParameters(learning_rate=1e-3, weight_decay=0.1, epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ZeroShotModel:
    return load_zero_shot(pico.make_model(tmp_path_factory.mktemp("pico") / "model"))


@pytest.fixture(scope="module")
def head(model: ZeroShotModel) -> Tensor:
    return model.head(CLASSES, pico.TEMPLATES)


@pytest.fixture(scope="module")
def samples() -> tuple[Tensor, Tensor]:
    return pico.image_tensor(per_class=8)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tune(
    model: ZeroShotModel,
    head: Tensor,
    hyper: HyperParameters,
    seed: int = 0,
    per_class: int = 8,
    precision: Precision = "float32",
) -> Tuned:
    images, labels = pico.image_tensor(per_class=per_class)
    return fine_tune(model, images, labels, head, hyper, seed, precision=precision)


Update = Callable[[int, str, Tensor, Tensor], Tensor]
"""(step from 1, name, θ, clipped gradient) → what is taken from θ, as a multiple of the rate."""


def adamw(decay: float) -> Update:
    """AdamW (arXiv 1711.05101, algorithm 2) with β = 0.9, 0.999 and ε = 1e-8."""
    m: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
    v: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(()))

    def update(t: int, name: str, theta: Tensor, g: Tensor) -> Tensor:
        m[name] = 0.9 * m[name] + 0.1 * g
        v[name] = 0.999 * v[name] + 0.001 * g**2
        return decay * theta + m[name] / (1 - 0.9**t) / ((v[name] / (1 - 0.999**t)).sqrt() + 1e-8)

    return update


def sgd(decay: float) -> Update:
    """Heavy ball: v ← 0.9 v + (g + decay·θ). The decay is no part of the gradient that is clipped."""
    v: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(()))

    def update(t: int, name: str, theta: Tensor, g: Tensor) -> Tensor:
        v[name] = 0.9 * v[name] + g + decay * theta
        return v[name]

    return update


class ByHand:
    """The recipe in float64, written out: full batches, clipping, an optimizer's update, half a cosine.

    ``norms`` and ``smallest`` are each step's gradient norm and each element's smallest |gradient|.
    """

    def __init__(self, model: ZeroShotModel, head: Tensor, samples: tuple[Tensor, Tensor], smoothing: float) -> None:
        self.module = copy.deepcopy(model.module).double()
        self.head, self.smoothing = head.double(), smoothing
        self.images, self.labels = samples
        self.theta = {name: p for name, p in self.module.named_parameters() if name in model.names}
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.smallest = {name: torch.full_like(p, torch.inf) for name, p in self.theta.items()}

    def loss(self) -> Tensor:
        """−Σ q log softmax(z), with q = (1 − s)·onehot + s / C."""
        features = self.module.encode_image((self.images.double() / 255 - 0.5) / 0.5)
        logits = features / features.norm(dim=1, keepdim=True) @ self.head.T
        log_p = logits - logits.exp().sum(dim=1, keepdim=True).log()
        onehot = functional.one_hot(self.labels, len(CLASSES)).double()
        q = onehot * (1 - self.smoothing) + self.smoothing / len(CLASSES)
        loss: Tensor = -(q * log_p).sum(dim=1).mean()
        return loss

    def run(self, steps: int, peak: float, update: Update) -> dict[str, Tensor]:
        for t in range(1, steps + 1):
            loss = self.loss()
            found = dict(zip(self.theta, torch.autograd.grad(loss, list(self.theta.values())), strict=True))
            self.losses.append(loss.item())
            self.norms.append(math.sqrt(sum(float((g**2).sum()) for g in found.values())))
            rate = peak * (1 + math.cos(math.pi * (t - 1) / steps)) / 2
            for name, g in found.items():
                self.smallest[name] = self.smallest[name].minimum(g.abs())
                with torch.no_grad():
                    self.theta[name] -= rate * update(t, name, self.theta[name], g / max(1.0, self.norms[-1]))
        return {name: p.detach() for name, p in self.theta.items()}


def check_by_hand(model: ZeroShotModel, head: Tensor, samples: tuple[Tensor, Tensor], hyper: HyperParameters) -> ByHand:
    """Fine-tune with full batches and compare each element whose gradients stand out of float32's noise."""
    by_hand = ByHand(model, head, samples, hyper.label_smoothing)
    expected = by_hand.run(hyper.epochs, hyper.learning_rate, adamw(hyper.weight_decay))
    tuned = fine_tune(model, *samples, head, hyper, seed=0)
    compared = 0
    for name, theta in expected.items():
        clear = by_hand.smallest[name] > 1e-3 * max(by_hand.norms) / 10
        assert ((tuned.state[name].double() - theta)[clear].abs() < 1e-2 * hyper.learning_rate).all(), name
        compared += int(clear.sum())
    assert compared > 1000
    assert tuned.loss == pytest.approx(by_hand.losses[-1], rel=1e-4)
    return by_hand


def check_sgd_by_hand(
    model: ZeroShotModel, head: Tensor, samples: tuple[Tensor, Tensor], hyper: HyperParameters
) -> ByHand:
    """The same with SGD, whose steps are as long as the gradients: each tensor's whole way is compared."""
    by_hand = ByHand(model, head, samples, hyper.label_smoothing)
    expected = by_hand.run(hyper.epochs, hyper.learning_rate, sgd(hyper.weight_decay))
    tuned = fine_tune(model, *samples, head, hyper, seed=0)
    assert tuple(expected) == model.names
    for name, theta in expected.items():
        way = (theta - model.base[name].double()).norm()
        assert (tuned.state[name].double() - theta).norm() < 1e-3 * way, name
    assert tuned.loss == pytest.approx(by_hand.losses[-1], rel=1e-4)
    return by_hand


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_one_step_is_adamw_worked_by_hand(
    model: ZeroShotModel, head: Tensor, samples: tuple[Tensor, Tensor], smoothing: float
) -> None:
    check_by_hand(model, head, samples, ONE_STEP.model_copy(update={"label_smoothing": smoothing}))


def test_long_gradients_are_clipped_to_one(model: ZeroShotModel, head: Tensor, samples: tuple[Tensor, Tensor]) -> None:
    """Three steps on wrong labels, whose lengths differ: unclipped, the moments would weigh them otherwise."""
    images, labels = samples
    hyper = ONE_STEP.model_copy(update={"epochs": 3, "learning_rate": 2e-3})
    by_hand = check_by_hand(model, head, (images, (labels + 1) % 5), hyper)
    assert min(by_hand.norms) > 1
    assert max(by_hand.norms) > 1.2 * min(by_hand.norms)


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_sgd_is_the_heavy_ball_worked_by_hand(
    model: ZeroShotModel, head: Tensor, samples: tuple[Tensor, Tensor], decay: float
) -> None:
    """Four steps, of which the first is clipped and the last is not."""
    hyper = ONE_STEP.model_copy(update={"optimizer": "sgd", "epochs": 4, "weight_decay": decay, "learning_rate": 0.05})
    by_hand = check_sgd_by_hand(model, head, samples, hyper)
    assert by_hand.norms[0] > 1 > by_hand.norms[-1]


def test_only_the_image_tower_is_in_the_result(model: ZeroShotModel, head: Tensor) -> None:
    assert tuple(tune(model, head, ONE_STEP).state) == model.names
    assert {name.partition(".")[0] for name in model.names} == {"visual"}


def test_every_trained_tensor_moves(model: ZeroShotModel, head: Tensor) -> None:
    tuned = tune(model, head, FEW_STEPS)
    assert tuned.state.keys() == model.base.keys() == {*model.names}
    assert all(not torch.equal(tuned.state[name], model.base[name]) for name in model.names)


def test_afterwards_the_model_is_back_at_its_own_weights_to_the_bit(model: ZeroShotModel, head: Tensor) -> None:
    tune(model, head, FEW_STEPS)
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(tensor, model.original[name]), name
    assert not model.module.visual.training


def test_the_same_seed_gives_the_same_weights_to_the_bit(model: ZeroShotModel, head: Tensor) -> None:
    hyper = FEW_STEPS.model_copy(update={"randaugment": RandAugment(magnitude=5, operations=2)})
    first, second = (tune(model, head, hyper, seed=7) for _ in range(2))
    assert all(torch.equal(first.state[name], second.state[name]) for name in model.names)
    assert first.loss == second.loss


def test_one_thread_too_gives_the_same_weights_each_time(model: ZeroShotModel, head: Tensor, one_thread: None) -> None:
    first, second = (tune(model, head, FEW_STEPS, seed=7) for _ in range(2))
    assert all(torch.equal(first.state[name], second.state[name]) for name in model.names)
    assert torch.get_num_threads() == 1


def test_another_seed_gives_other_weights(model: ZeroShotModel, head: Tensor) -> None:
    first, second = (tune(model, head, FEW_STEPS, seed=seed) for seed in (1, 2))
    assert not torch.equal(first.state[model.names[0]], second.state[model.names[0]])


def test_what_was_drawn_before_changes_nothing(model: ZeroShotModel, head: Tensor) -> None:
    first = tune(model, head, FEW_STEPS)
    torch.rand(100)
    second = tune(model, head, FEW_STEPS)
    assert torch.equal(first.state[model.names[0]], second.state[model.names[0]])


def test_the_global_random_state_is_left_alone(model: ZeroShotModel, head: Tensor) -> None:
    before = torch.get_rng_state()
    tune(model, head, FEW_STEPS.model_copy(update={"randaugment": RandAugment(magnitude=5, operations=1)}))
    assert torch.equal(torch.get_rng_state(), before)


def test_randaugment_changes_what_is_learned(model: ZeroShotModel, head: Tensor) -> None:
    plain = tune(model, head, FEW_STEPS)
    hyper = FEW_STEPS.model_copy(update={"randaugment": RandAugment(magnitude=9, operations=2)})
    assert not torch.equal(plain.state[model.names[0]], tune(model, head, hyper).state[model.names[0]])


def test_training_lowers_the_loss(model: ZeroShotModel, head: Tensor) -> None:
    losses: list[float] = []
    images, labels = pico.image_tensor(per_class=8)
    hyper = FEW_STEPS.model_copy(update={"epochs": 12})
    fine_tune(model, images, 4 - labels, head, hyper, 0, lambda step, total, loss: losses.append(loss or 0.0))
    assert losses[-1] < losses[0] / 2


def test_steps_are_told_with_their_loss(model: ZeroShotModel, head: Tensor) -> None:
    told: list[tuple[int, int]] = []
    images, labels = pico.image_tensor(per_class=8)  # 40 images in batches of 16: 3 steps an epoch
    tuned = fine_tune(model, images, labels, head, FEW_STEPS, 0, lambda s, t, loss: told.append((s, t)))
    assert told == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    assert tuned.steps == 6


def test_the_loss_is_the_mean_over_the_last_epochs_samples(model: ZeroShotModel, head: Tensor) -> None:
    losses: list[float] = []
    images, labels = pico.image_tensor(per_class=8)
    tuned = fine_tune(model, images, labels, head, FEW_STEPS, 0, lambda s, t, loss: losses.append(loss or 0.0))
    assert tuned.loss == pytest.approx((16 * losses[3] + 16 * losses[4] + 8 * losses[5]) / 40)


def test_an_interrupted_point_leaves_the_model_at_its_own_weights(model: ZeroShotModel, head: Tensor) -> None:
    images, labels = pico.image_tensor(per_class=8)

    def stop(step: int, total: int, loss: float | None) -> None:
        if step == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        fine_tune(model, images, labels, head, FEW_STEPS, 0, stop)
    assert all(torch.equal(p, model.base[n]) for n, p in zip(model.names, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_loss_that_is_not_finite_is_a_diverged_point(model: ZeroShotModel, head: Tensor) -> None:
    with pytest.raises(DivergedError, match="lower the learning rate"):
        tune(model, head, FEW_STEPS.model_copy(update={"learning_rate": 1e30, "epochs": 5}))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("key", ["learning_rate", "weight_decay"])
def test_with_the_most_that_a_spec_may_ask_for_a_point_diverges(
    model: ZeroShotModel, head: Tensor, optimizer: str, key: str
) -> None:
    with pytest.raises(DivergedError, match=r"lower the learning rate, or the weight decay$"):
        tune(model, head, FEW_STEPS.model_copy(update={key: 1e30, "optimizer": optimizer, "epochs": 5}))


def test_without_images_there_is_nothing_to_train_on(model: ZeroShotModel, head: Tensor) -> None:
    images, labels = pico.image_tensor(per_class=1)
    with pytest.raises(DataError, match="no training samples"):
        fine_tune(model, images[:0], labels[:0], head, FEW_STEPS, 0)


def test_warmup_is_a_tenth_of_the_steps_and_at_most_five_hundred() -> None:
    assert [warmup_steps(steps) for steps in (5, 75, 4000, 9000)] == [0, 7, 400, 500]


def test_the_rate_climbs_in_equal_parts_and_falls_by_half_a_cosine() -> None:
    rates = [learning_rate(step, 12, 4, 8.0) for step in range(12)]
    assert rates[:5] == [2.0, 4.0, 6.0, 8.0, 8.0]
    assert rates[8] == pytest.approx(4.0)  # half way down
    assert rates[11] == pytest.approx(4 * (1 + math.cos(7 * math.pi / 8)))


def test_a_warmup_longer_than_the_run_never_reaches_the_peak() -> None:
    assert learning_rate(9, 10, 100, 1.0) == pytest.approx(0.1)


def test_each_epoch_is_a_permutation_of_all_samples() -> None:
    found = list(batches(10, 4, 2, torch.Generator().manual_seed(0)))
    assert [len(batch) for batch in found] == [4, 4, 2, 4, 4, 2]
    first, second = torch.cat(found[:3]).tolist(), torch.cat(found[3:]).tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


# In bfloat16


@pytest.fixture
def dtypes(model: ZeroShotModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, set[torch.dtype]]]:
    """What a linear layer of the tower gives, and the logits."""
    seen: dict[str, set[torch.dtype]] = defaultdict(set)
    original = model.logits

    def logits(images: Tensor, given: Tensor) -> Tensor:
        found = original(images, given)
        seen["logits"].add(found.dtype)
        return found

    monkeypatch.setattr(model, "logits", logits)
    linear = next(part for part in model.tuned.modules() if type(part) is torch.nn.Linear)
    with linear.register_forward_hook(lambda module, given, out: seen["layer"].add(out.dtype)):
        yield seen


@pytest.mark.parametrize(("precision", "layer"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_layers_compute_in_the_precision_and_logits_and_weights_are_float32(
    model: ZeroShotModel, head: Tensor, dtypes: dict[str, set[torch.dtype]], precision: Precision, layer: torch.dtype
) -> None:
    tuned = tune(model, head, ONE_STEP, precision=precision)
    assert dtypes == {"layer": {layer}, "logits": {torch.float32}}
    assert {tensor.dtype for tensor in tuned.state.values()} == {torch.float32}


def test_a_rate_too_small_for_bfloat16_still_moves_the_masters(model: ZeroShotModel, head: Tensor) -> None:
    """A step of 10⁻⁷ of a weight is below what bf16 tells apart: only a float32 master keeps it."""
    tuned = tune(model, head, ONE_STEP.model_copy(update={"learning_rate": 1e-7}), precision="bfloat16")
    before, after = model.base["visual.ln_post.weight"], tuned.state["visual.ln_post.weight"]
    assert not torch.equal(after, before)
    assert torch.equal(after.bfloat16(), before.bfloat16())


def test_the_same_seed_gives_the_same_bits_in_bfloat16(model: ZeroShotModel, head: Tensor, one_thread: None) -> None:
    first, second = (tune(model, head, FEW_STEPS, seed=7, precision="bfloat16") for _ in range(2))
    assert all(torch.equal(first.state[name], second.state[name]) for name in model.names)
