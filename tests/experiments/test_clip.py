"""``clip-domain-small``: its spec, its two archives, and how its base model is made, on a miniature of CIFAR-10.

The miniature has noise for images, so nothing here says how good a model is. Tests over the real CIFAR-10 say so and
skip where it is absent (``experiments.data``).
"""

import io
import itertools
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from experiments import clip_domain
from experiments.catalog import EXPERIMENTS
from experiments.cifar10 import CLASSES, PER_CLASS
from experiments.clip_domain import Base, make_base, open_both
from experiments.data import CIFAR10, data_root
from experiments.subset import write_subset
from negmerge.data.selection import cut
from negmerge.formats.open_clip_config import WEIGHTS_FILE
from negmerge.models.loading import load_zero_shot
from negmerge.spec.job import parse
from tests.support.archive_files import Files, write_zip
from tooling import digits

pytestmark = pytest.mark.slow

REAL = data_root()
needs_cifar10 = pytest.mark.skipif(REAL is None, reason=f"{CIFAR10} is absent: NEGMERGE_DATA may say where it is")
TRAIN, TEST = 3, 1
"""Images of each class in the miniature: one of the three is cut off for validation."""


def jpeg(seed: int) -> bytes:
    """32×32 pixels of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def miniature() -> Files:
    names = [
        f"{part}/{name}/{n:04}.jpg"
        for part, size in (("train", TRAIN), ("test", TEST))
        for name, n in itertools.product(CLASSES, range(size))
    ]
    return {name: jpeg(seed) for seed, name in enumerate(names)}


def contents(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp("base")
    return make_base(folder / "made", write_zip(folder / "all.zip", miniature()))


def test_the_spec_forgets_one_data_set_whole_and_keeps_another() -> None:
    spec = parse(EXPERIMENTS["clip-domain-small"].spec())
    assert spec.forget.select is None
    assert spec.retain.select is None
    assert spec.forget.source != spec.retain.source


def test_the_spec_takes_the_ids_of_uploads_where_its_paths_stand() -> None:
    document = EXPERIMENTS["clip-domain-small"].spec()
    document["base_model"]["weights"] = "mdl_0"
    document["forget"], document["retain"] = {"dataset": "ds_0"}, {"dataset": "ds_1"}
    assert parse(document).points() == parse(EXPERIMENTS["clip-domain-small"].spec()).points()


def test_the_pool_varies_the_strength_of_randaugment_and_nothing_else() -> None:
    spec = parse(EXPERIMENTS["clip-domain-small"].spec())
    pool = [point.hyper_parameters for point in spec.points() if point.repeat == 0]
    strengths = [(one.randaugment.magnitude, one.randaugment.operations) for one in pool if one.randaugment]
    assert strengths == list(itertools.product((1, 4, 7, 10), (1, 2, 3)))
    assert len({one.model_copy(update={"randaugment": None}).model_dump_json() for one in pool}) == 1


def test_the_merges_are_compared_three_times_over_kept_task_vectors() -> None:
    spec = parse(EXPERIMENTS["clip-domain-small"].spec())
    assert {"task_arithmetic", "uniform", "greedy", "ties", "magmax"} <= {*spec.compare}
    assert (spec.repeats, spec.keep_task_vectors, spec.scale_search.keep) == (3, True, 0.95)


def test_the_digits_are_all_of_scikit_learns_each_in_its_class(base: Base) -> None:
    found = contents(base.digits)
    bunch = load_digits()
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    assert len(found) == 1797
    assert Counter(PurePosixPath(name).parts[0] for name in found) == {
        word: int((bunch.target == number).sum()) for number, word in enumerate(words)
    }
    sizes = {Image.open(io.BytesIO(content)).size for content in found.values()}
    assert sizes == {(32, 32)}


def test_the_digits_archive_is_the_same_every_time(base: Base, tmp_path: Path) -> None:
    digits.write_archive(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == base.digits.read_bytes()


def test_cifar10_is_kept_as_the_jpegs_that_it_came_as(base: Base) -> None:
    assert contents(base.cifar10) == miniature()


def test_each_domain_has_prompts_of_its_own(base: Base) -> None:
    cifar10, of_digits = open_both(base.cifar10, base.digits)
    assert cifar10.templates == ["a photo of a {}."]
    assert of_digits.templates == ["a photo of the digit {}."]
    assert list(cifar10.class_words) == CLASSES
    assert {*of_digits.class_words} == {*digits.CLASS_NAMES.values()}


def test_the_model_has_a_head_for_each_domain(base: Base) -> None:
    model = load_zero_shot(base.model)
    for dataset in open_both(base.cifar10, base.digits):
        assert model.head(dataset.class_words, dataset.templates).shape == (10, 64)


def test_both_towers_move_but_the_table_of_words_does_not(base: Base) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = dict(open_clip.CLIP(**clip_domain.CONFIG["model_cfg"]).named_parameters())
    trained = load_file(base.model / WEIGHTS_FILE)
    moved = {name for name, parameter in fresh.items() if not torch.equal(parameter, trained[name])}
    assert "token_embedding.weight" not in moved
    assert "text_projection" in moved
    assert any(name.startswith("visual.") for name in moved)


def test_what_is_made_is_not_made_again(base: Base) -> None:
    def refuse(step: int, steps: int, loss: float | None) -> None:
        raise AssertionError("trained again")

    written = (base.model / WEIGHTS_FILE).stat().st_mtime_ns
    assert make_base(base.model.parent, Path("nowhere.zip"), refuse) == base
    assert (base.model / WEIGHTS_FILE).stat().st_mtime_ns == written


def test_validation_and_test_images_are_never_trained_on(base: Base, tmp_path: Path) -> None:
    """Other pixels under the same names, in all that is not of the train part: the same weights come out."""
    cifar10, _ = open_both(base.cifar10, base.digits)
    parts = cut(cifar10.index)
    unseen = {sample.id for sample in (*parts.validation, *parts.test)}
    assert len(unseen) == len(CLASSES) * (1 + TEST)
    other = {name: jpeg(10_000 + n) if name in unseen else data for n, (name, data) in enumerate(miniature().items())}
    again = make_base(tmp_path / "made", write_zip(tmp_path / "all.zip", other))
    assert contents(again.cifar10) != contents(base.cifar10)
    assert (again.model / WEIGHTS_FILE).read_bytes() == (base.model / WEIGHTS_FILE).read_bytes()


def test_data_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / CIFAR10).touch()
    monkeypatch.setenv("NEGMERGE_DATA", str(tmp_path))
    assert data_root() == tmp_path


def test_a_folder_without_cifar10_is_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGMERGE_DATA", str(tmp_path))
    assert data_root() is None


@needs_cifar10
def test_the_real_subset_has_so_many_of_each_class_with_the_bytes_that_they_came_with(tmp_path: Path) -> None:
    assert REAL is not None
    write_subset(REAL / CIFAR10, tmp_path / "some.zip", PER_CLASS)
    found = contents(tmp_path / "some.zip")
    expected = {(part, name): size for part, size in PER_CLASS.items() for name in CLASSES}
    assert Counter(PurePosixPath(name).parts[:2] for name in found) == expected
    with zipfile.ZipFile(REAL / CIFAR10) as whole:
        assert all(whole.read(name) == content for name, content in found.items())
