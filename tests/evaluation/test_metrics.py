"""Counts, and the evaluation of a real model against its own logits."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from negmerge.decoding.dataset import Decoded
from negmerge.errors import Interrupted
from negmerge.evaluation.metrics import Count, Evaluation, evaluate
from negmerge.evaluation.prepared import Side, measure, near
from negmerge.models.loading import load_zero_shot
from negmerge.models.zero_shot import ZeroShotModel
from tests.support import pico

pytestmark = pytest.mark.slow

CLASSES = list(pico.CLASS_WORDS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ZeroShotModel:
    return load_zero_shot(pico.make_model(tmp_path_factory.mktemp("pico") / "model"))


@pytest.fixture(scope="module")
def head(model: ZeroShotModel) -> Tensor:
    return model.head(CLASSES, pico.TEMPLATES)


def test_a_count_tells_its_share() -> None:
    assert Count(2, 40).record().as_json() == {"accuracy": 0.05, "correct": 2, "count": 40}


@pytest.mark.parametrize(("correct", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_what_cannot_be_a_count_is_refused(correct: int, count: int) -> None:
    with pytest.raises(ValueError, match="no figure"):
        Count(correct, count)


def test_an_evaluation_survives_json() -> None:
    evaluation = Evaluation(Count(3, 5), {"one": Count(1, 2), "two": Count(2, 3)})
    assert Evaluation.of(evaluation.record()) == evaluation


def test_counts_are_those_of_the_largest_logit(model: ZeroShotModel, head: Tensor) -> None:
    """One image at a time, compared in plain Python."""
    images, labels = pico.image_tensor(per_class=12)
    found = evaluate(model, images, labels, head, CLASSES, batch=7)
    right = dict.fromkeys(CLASSES, 0)
    for image, label in zip(images, labels.tolist(), strict=True):
        with torch.no_grad():
            scores = model.logits(image[None], head)[0].tolist()
        right[CLASSES[label]] += scores.index(max(scores)) == label
    assert found.total == Count(sum(right.values()), 60)
    assert found.per_class == {name: Count(correct, 12) for name, correct in right.items()}


def test_a_class_without_samples_has_no_figure(model: ZeroShotModel, head: Tensor) -> None:
    images, labels = pico.image_tensor(per_class=4)
    chosen = labels != 2
    found = evaluate(model, images[chosen], labels[chosen], head, CLASSES)
    assert list(found.per_class) == ["zero", "one", "three", "four"]


def test_the_batch_size_changes_no_count(model: ZeroShotModel, head: Tensor) -> None:
    images, labels = pico.image_tensor(per_class=9)
    assert evaluate(model, images, labels, head, CLASSES, batch=4) == evaluate(model, images, labels, head, CLASSES)


def test_each_batch_is_told_and_can_stop_the_work(model: ZeroShotModel, head: Tensor) -> None:
    images, labels = pico.image_tensor(per_class=2)
    told: list[tuple[int, int]] = []

    def stop_after_two(step: int, total: int, loss: float | None) -> None:
        told.append((step, total))
        if step == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        evaluate(model, images, labels, head, CLASSES, stop_after_two, batch=4)
    assert told == [(1, 3), (2, 3)]


def test_a_model_left_in_training_is_evaluated_in_eval_mode(model: ZeroShotModel, head: Tensor) -> None:
    images, labels = pico.image_tensor(per_class=2)
    model.module.train()
    evaluate(model, images, labels, head, CLASSES)
    assert not any(part.training for part in model.module.modules())


def side_of(head: Tensor) -> Side:
    images, labels = pico.image_tensor(per_class=30)
    return Side(tuple(CLASSES), head, {"test": Decoded(images, labels, tuple(map(str, range(len(labels)))))})


def test_on_the_cpu_images_stay_where_they_are(head: Tensor) -> None:
    side = side_of(head)
    assert near(side, "test", torch.device("cpu")) is side


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_images_that_lie_on_the_device_give_the_same_counts(head: Tensor, tmp_path: Path) -> None:
    model, side = load_zero_shot(pico.make_model(tmp_path / "model"), "cuda"), side_of(head)
    there = near(side, "test", model.device)
    assert there.parts["test"].images.is_cuda
    assert measure(model, {"forget": there}, ["test"]) == measure(model, {"forget": side}, ["test"])
