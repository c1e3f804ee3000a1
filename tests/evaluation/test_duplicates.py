"""A picture that is both forgotten and kept is found by its pixels, whatever it is called."""

import json
from pathlib import Path

import pytest
import torch

from negmerge.decoding.dataset import Decoded
from negmerge.evaluation.duplicates import duplicates
from negmerge.evaluation.prepared import Side
from negmerge.spec.figures import PARTS, Part
from tests.support import local_job

pytestmark = pytest.mark.slow


def side(**parts: dict[str, int]) -> Side:
    """Parts of 2×2 images, each all of one grey, by their ids."""
    decoded: dict[Part, Decoded] = {}
    for name in PARTS:
        if (greys := parts.get(name)) is None:
            continue
        images = torch.tensor(list(greys.values()), dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)
        labels = torch.zeros(len(greys), dtype=torch.int64)
        decoded[name] = Decoded(images.contiguous(), labels, tuple(greys))
    return Side(("grey",), torch.zeros(0), decoded)


def test_sets_without_a_common_picture_have_none() -> None:
    assert duplicates(side(train={"a": 1, "b": 2}), side(test={"c": 3})).as_json() == {"count": 0, "examples": []}


def test_each_kept_copy_is_counted_and_named_beside_the_first_forgotten_one() -> None:
    forget = side(train={"a": 1, "again": 1}, test={"b": 2})
    retain = side(train={"x": 1, "y": 9}, validation={"z": 2, "copy": 1})
    assert duplicates(forget, retain).as_json() == {
        "count": 3,
        "examples": [
            {"forget": "a", "retain": "x"},
            {"forget": "b", "retain": "z"},
            {"forget": "a", "retain": "copy"},
        ],
    }


def test_of_many_five_are_named() -> None:
    both = {f"{number}": number for number in range(9)}
    found = duplicates(side(train=both), side(train=both))
    assert (found.count, len(found.examples)) == (9, 5)


def test_one_pixel_apart_is_another_picture() -> None:
    forget, retain = side(train={"a": 7}), side(train={"a": 7})
    retain.parts["train"].images[0, 2, 1, 1] += 1
    assert duplicates(forget, retain).count == 0


@pytest.fixture(scope="module")
def two_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of a job that keeps, under a second name, the archive of which it forgets a class."""
    folder = tmp_path_factory.mktemp("two")
    spec = local_job.spec_document(folder)
    second = folder / "second.zip"
    second.write_bytes(Path(spec["forget"]["uri"]).read_bytes())
    local_job.run(folder, retain={"uri": str(second)})
    return folder / "out"


def test_an_archive_under_two_names_is_warned_of(two_names: Path) -> None:
    result = json.loads((two_names / "result.json").read_text())
    splits = result["splits"]["forget"]
    assert result["duplicates"]["count"] == splits["validation"] + splits["test"]
    assert any("pixel for pixel also among the forgotten ones" in warning for warning in result["warnings"])


def test_a_job_on_one_data_set_has_no_duplicates(tmp_path: Path) -> None:
    assert local_job.run(tmp_path)["duplicates"] == {"count": 0, "examples": []}
