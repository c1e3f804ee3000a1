"""Where a model stands: who is asked and who is compared in membership inference, worked out again from the files.

The digits are made so that mixing up any two of the sets gives another count: each set has its own share of images
that are half noise, about which the classifier is less sure.
"""

import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.svm import SVC

from negmerge.evaluation.assessment import Assessment, assess, membership
from negmerge.evaluation.figures import Figures
from negmerge.evaluation.gaps import FourFigures
from negmerge.evaluation.membership import equal_sides
from negmerge.evaluation.metrics import Count, Evaluation
from negmerge.evaluation.prepared import Prepared, measure
from negmerge.models.network import Network
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.prepare import prepare
from negmerge.spec.figures import PARTS
from negmerge.spec.job import parse
from negmerge.spec.result import MethodRow
from tests.support import pico, pico_timm
from tests.support.archive_files import write_zip

pytestmark = pytest.mark.slow

FORGOTTEN = "three"
SIZES = {"train": 100, "val": 7, "test": 70}
"""Digits of each class. The classifier has learnt the first hundred, but for their noise."""


def noisy(part: str, digit: str, number: int) -> bool:
    """A third of what is asked, all but one class of the members, and all that is not in the train part."""
    if part != "train":
        return True
    return number % 3 == 0 if digit == FORGOTTEN else digit != "zero"


def archive(path: Path) -> Path:
    """Digits in PNG, ``part/digit/number.png``."""
    images, labels = pico.digits()
    noise = np.random.default_rng(0).integers(0, 256, images.shape)
    files = {}
    for label, digit in enumerate(pico.CLASS_WORDS):
        places = iter(np.flatnonzero(labels == label))
        for part, size in SIZES.items():
            for number in range(size):
                place = next(places)
                image = (images[place] + noise[place]) // 2 if noisy(part, digit, number) else images[place]
                buffer = io.BytesIO()
                Image.fromarray(image.astype(np.uint8)).save(buffer, "PNG")
                files[f"{part}/{digit}/{number:03}.png"] = buffer.getvalue()
    return write_zip(path, files)


@dataclass(frozen=True)
class Case:
    """A prepared job, its model, and the logits of every image by its path, from timm's own module."""

    model: Network
    prepared: Prepared
    logits: dict[str, torch.Tensor]

    def paths(self, part: str, forgotten: bool) -> list[str]:
        """The images of one part of one side, by the names of their folders."""
        places = ((path, path.split("/")) for path in sorted(self.logits))
        return [path for path, place in places if place[0] == part and (place[1] == FORGOTTEN) == forgotten]

    def confidences(self, paths: Sequence[str], outputs: Sequence[str] = pico_timm.CLASSES) -> list[list[float]]:
        """The probability of the digit that the path names, sorted, as scikit-learn takes it: a row a sample."""
        own = [outputs.index(path.split("/")[1]) for path in paths]
        found = [self.logits[path].double().softmax(0)[place].item() for path, place in zip(paths, own, strict=True)]
        return [[value] for value in sorted(found)]

    def sides(self) -> tuple[list[str], list[str]]:
        """As many members as non-members."""
        train, test = self.paths("train", forgotten=False), self.paths("test", forgotten=False)
        members, others = equal_sides(train, test)
        return [train[place] for place in members], [test[place] for place in others]

    def asked(self) -> list[str]:
        return self.paths("train", forgotten=True)


def taken_for_others(members: list[list[float]], others: list[list[float]], asked: list[list[float]]) -> Count:
    machine: Any = SVC(C=3, gamma="auto", kernel="rbf").fit(members + others, [1] * len(members) + [0] * len(others))
    return Count([*machine.predict(asked)].count(0), len(asked))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("assessment")
    base, digits = pico_timm.make_model(folder / "model"), archive(folder / "digits.zip")
    spec = parse(
        {
            "base_model": {"family": "timm", "weights": str(base)},
            "forget": {"uri": str(digits), "select": {"classes": [FORGOTTEN]}},
            "retain": {"uri": str(digits)},
            "sweep": {"grid": {"epochs": [1]}},
        }
    )
    model = open_model(spec, "cpu")
    return Case(model, prepare(spec, model, *open_datasets(spec)), read(base, digits))


def read(base: Path, digits: Path) -> dict[str, torch.Tensor]:
    """path → logits: plain timm and PIL, and nothing of ours."""
    module = pico_timm.module(json.loads((base / "config.json").read_text()))
    module.load_state_dict(load_file(base / "model.safetensors"))
    module.eval()
    with zipfile.ZipFile(digits) as files, torch.no_grad():
        grey = {name: np.array(Image.open(io.BytesIO(files.read(name)))) for name in files.namelist()}
        pixels = torch.from_numpy(np.stack([*grey.values()]))[:, None].expand(-1, 3, -1, -1).float().div(127.5).sub(1)
        return dict(zip(grey, module(pixels), strict=True))


@pytest.fixture(scope="module")
def expected(case: Case) -> Count:
    members, others = case.sides()
    return taken_for_others(*(case.confidences(paths) for paths in (members, others, case.asked())))


def test_the_count_is_scikit_learns_over_retained_training_and_test_samples(case: Case, expected: Count) -> None:
    assert membership(case.model, case.prepared) == expected


def test_any_two_sets_mixed_up_would_give_another_count(case: Case, expected: Count) -> None:
    """So that the test above would see it. Counts of other sets are compared by their shares."""
    members, others = case.sides()
    inside, outside = case.confidences(members), case.confidences(others)
    retained, unseen = case.paths("train", forgotten=False), case.paths("test", forgotten=True)
    assert 0 < expected.correct < expected.count
    assert taken_for_others(outside, inside, case.confidences(case.asked())) != expected
    assert taken_for_others(inside, outside, case.confidences(retained)).accuracy != expected.accuracy
    assert taken_for_others(inside, outside, case.confidences(unseen)).accuracy != expected.accuracy


def test_other_samples_or_other_labels_would_give_another_count(case: Case, expected: Count) -> None:
    """The first members in the order of their paths; and labels that count through the data set's sorted classes."""
    (members, others), asked = case.sides(), case.asked()
    first = case.paths("train", forgotten=False)[: len(members)]
    by_name = [case.confidences(paths, sorted(pico.CLASS_WORDS)) for paths in (members, others, asked)]
    assert len(members) == len(others) == 4 * SIZES["test"]
    assert taken_for_others(*(case.confidences(paths) for paths in (first, others, asked))) != expected
    assert taken_for_others(*by_name) != expected


def test_a_model_left_in_training_mode_is_asked_in_eval_mode(case: Case, expected: Count) -> None:
    case.model.module.train()
    try:
        assert membership(case.model, case.prepared) == expected
    finally:
        case.model.module.eval()


def test_the_model_is_asked_as_it_stands_and_not_as_it_was(case: Case, expected: Count) -> None:
    """A bias of the head that is 1 more makes one logit 1 more, of every image."""
    more = torch.eye(len(pico_timm.CLASSES))[pico_timm.CLASSES.index(FORGOTTEN)]
    moved = replace(case, logits={path: logits + more for path, logits in case.logits.items()})
    members, others = case.sides()
    other = taken_for_others(*(moved.confidences(paths) for paths in (members, others, case.asked())))
    case.model.load_parameters(case.model.base | {"fc.bias": case.model.base["fc.bias"] + more})
    try:
        found = membership(case.model, case.prepared)
    finally:
        case.model.restore()
    assert found == other != expected


def test_a_stop_while_it_asks_is_heard(case: Case) -> None:
    """Each set is worked through in batches of 256: two for each side's 280 samples, one for the 100 asked."""
    heard: list[tuple[int, int]] = []
    membership(case.model, case.prepared, lambda step, total, loss: heard.append((step, total)))
    assert heard == [(1, 2), (2, 2), (1, 2), (2, 2), (1, 1)]


def test_a_control_set_without_training_samples_has_no_members_to_compare_with(case: Case) -> None:
    parts = {part: case.prepared.retain.parts[part] for part in PARTS[1:]}
    assert membership(case.model, replace(case.prepared, retain=replace(case.prepared.retain, parts=parts))) is None


def test_a_zero_shot_model_is_not_asked(case: Case, tmp_path: Path) -> None:
    """Though its job has all the samples that it takes."""
    spec = parse(
        {
            "base_model": {"family": "open_clip", "weights": str(pico.make_model(tmp_path / "model"))},
            "forget": {"uri": str(pico.make_archive(tmp_path / "digits.zip")), "select": {"classes": [FORGOTTEN]}},
            "retain": {"uri": str(tmp_path / "digits.zip")},
            "sweep": {"grid": {"epochs": [1]}},
        }
    )
    model = open_model(spec, "cpu")
    prepared = prepare(spec, model, *open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES))
    assert {"train", "test"} <= prepared.retain.parts.keys()
    assert assess(model, prepared) == Assessment(measure(model, prepared.sides, PARTS), None)


def test_assessing_counts_right_answers_of_both_sides_on_every_part(case: Case, expected: Count) -> None:
    found: dict[str, dict[str, Count]] = defaultdict(dict)
    for part, ours in (("train", "train"), ("val", "validation"), ("test", "test")):
        for side in ("forget", "retain"):
            paths = case.paths(part, forgotten=side == "forget")
            right = [pico_timm.CLASSES[int(case.logits[path].argmax())] == path.split("/")[1] for path in paths]
            found[ours][side] = Count(sum(right), len(right))
    assessment = assess(case.model, case.prepared)
    assert {p: {side: one.total for side, one in of.items()} for p, of in assessment.figures.items()} == found
    assert assessment.membership == expected


FIGURES: Figures = {
    "train": {"retain": Evaluation(Count(7, 10), {}), "forget": Evaluation(Count(3, 5), {})},
    "validation": {"retain": Evaluation(Count(1, 2), {}), "forget": Evaluation(Count(0, 2), {})},
    "test": {"retain": Evaluation(Count(8, 9), {}), "forget": Evaluation(Count(1, 3), {})},
}


def test_the_four_figures_are_both_train_parts_what_stays_of_test_and_membership() -> None:
    found = Assessment(FIGURES, Count(2, 5)).four()
    assert found == FourFigures(retain=Count(7, 10), forget=Count(3, 5), test=Count(8, 9), membership=Count(2, 5))


@pytest.mark.parametrize(("part", "side"), [("train", "retain"), ("train", "forget"), ("test", "retain")])
def test_there_are_no_four_figures_where_one_was_not_measured(part: str, side: str) -> None:
    left = {name: {s: one for s, one in of.items() if (name, s) != (part, side)} for name, of in FIGURES.items()}
    assert Assessment(left, Count(2, 5)).four() is None


def test_there_are_no_four_figures_without_membership() -> None:
    assert Assessment(FIGURES).four() is None


@pytest.mark.parametrize("asked", [Count(2, 5), None], ids=["with membership", "without"])
def test_an_assessment_comes_back_from_a_row_that_holds_more(asked: Count | None) -> None:
    assessment = Assessment(FIGURES, asked)
    assert Assessment.of(MethodRow(**assessment.record().given(), seconds=1.5)) == assessment
