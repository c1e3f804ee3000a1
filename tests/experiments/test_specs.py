"""The experiments' files: each is read as a job spec. None is run here, and none's data are looked for."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from experiments.catalog import EXPERIMENTS
from experiments.subset import write_subset
from negmerge.spec.job import parse
from negmerge.spec.methods import METHOD_NAMES
from tests.support.archive_files import png

FILES = sorted((Path(__file__).parents[2] / "experiments").rglob("*.json"))
RIVALS = (
    "retrain",
    "fine_tune",
    "gradient_ascent",
    "random_label",
    "l1_sparse",
    "influence",
    "boundary_shrink",
    "salun",
)
"""Those that NegMerge is to be compared with. A rival that comes later may be left out (``docs/adding-a-rival.md``)."""


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text())
    return document


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_a_job_spec(file: Path) -> None:
    parse(read(file))


def test_the_three_backbones_meet_the_eight_data_sets() -> None:
    found = {
        (document["base_model"]["architecture"], document["forget"]["torchvision"])
        for document in (read(file) for file in FILES if file.parent.name == "clip")
    }
    assert len(found) == 24
    assert {architecture for architecture, _ in found} == {"ViT-B-32", "ViT-B-16", "ViT-L-14"}


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name == "clip"], ids=lambda file: file.stem)
def test_a_clip_pool_is_the_published_one_of_its_data_set(file: Path) -> None:
    spec = parse(read(file))
    assert file.stem.endswith(spec.sweep.preset.removeprefix("clip-") if spec.sweep.preset else "none")
    assert len(spec.points()) == 30


@pytest.mark.parametrize("name", ["cifar10-small-random", "cifar10-small-class"])
def test_the_small_classifier_experiments_compare_all_merges_and_rivals(name: str) -> None:
    spec = EXPERIMENTS[name].spec()
    assert {spec.get("merge", {}).get("method", "negmerge"), *spec["compare"]} >= {*METHOD_NAMES, *RIVALS}
    assert spec["repeats"] == 3


def test_a_subset_holds_so_many_of_each_class_byte_for_byte(tmp_path: Path) -> None:
    source, target = tmp_path / "all.zip", tmp_path / "some.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for part, per_class in (("train", 5), ("test", 3)):
            for name in ("cat", "dog"):
                for number in range(per_class):
                    archive.writestr(f"{part}/{name}/{number}.png", png(number))
    write_subset(source, target, {"train": 2, "test": 1})
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target) as subset:
        names = subset.namelist()
        assert all(subset.read(name) == whole.read(name) for name in names)
    order = sorted((f"train/cat/{n}.png" for n in range(5)), key=lambda name: hashlib.sha256(name.encode()).digest())
    assert [name for name in names if name.startswith("train/cat")] == sorted(order[:2])
    assert len(names) == 6


def test_a_subset_is_the_same_every_time(tmp_path: Path) -> None:
    source = tmp_path / "all.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for number in range(4):
            archive.writestr(f"train/cat/{number}.png", png())
    for name in ("one.zip", "two.zip"):
        write_subset(source, tmp_path / name, {"train": 3})
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
