"""What tells two variants of a data set apart."""

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from negmerge.data.archives import Index, Sample
from negmerge.data.identity import identity, ids_digest
from negmerge.decoding.dataset import open_torchvision
from negmerge.spec.references import DatasetRef
from negmerge.spec.result import DataIdentity
from tests.support.data_trees import flat, published_folders

IMAGENET = published_folders(".", ("train", "val"), "n01440764", "n03773504")

PAIR = Index((Sample("a/1.png", "a", None), Sample("b/1.png", "b", None)), ("a", "b"))


def of_imagenet(root: Path) -> DataIdentity:
    return identity(DatasetRef(torchvision="ImageNet", root=str(root)), open_torchvision("ImageNet", root).index)


def test_an_identity_says_name_folder_counts_and_the_digest_of_the_sorted_ids(tmp_path: Path) -> None:
    root = tmp_path / "imagenet-small"
    root.mkdir()
    IMAGENET(root)
    lines = sorted(
        f"{part}/{wnid}/{number}.jpg\n"
        for part in ("train", "val")
        for wnid in ("n01440764", "n03773504")
        for number in (1, 2, 3)
    )
    assert of_imagenet(root).as_json() == {
        "name": "ImageNet",
        "root": "imagenet-small",
        "classes": 2,
        "samples": {"train": 6, "test": 6},
        "ids": "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest(),
    }


def test_one_image_more_is_another_variant(tmp_path: Path) -> None:
    IMAGENET(tmp_path)
    before = of_imagenet(tmp_path)
    (tmp_path / "train/n01440764/4.jpg").write_bytes(flat(9))
    assert of_imagenet(tmp_path).ids != before.ids


def test_the_same_data_in_another_place_are_the_same_variant(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place / "imagenet").mkdir(parents=True)
        IMAGENET(tmp_path / place / "imagenet")
    assert of_imagenet(tmp_path / "here/imagenet") == of_imagenet(tmp_path / "there/imagenet")


def test_samples_without_a_part_of_their_own_are_counted_as_such() -> None:
    assert identity(DatasetRef(dataset="ds_1"), PAIR).samples == {"unsaid": 2}


def test_a_registered_data_set_goes_by_its_id_and_has_no_root() -> None:
    found = identity(DatasetRef(dataset="ds_1"), PAIR)
    assert (found.name, found.root) == ("ds_1", None)


def test_of_a_uri_only_the_last_part_is_told() -> None:
    found = identity(DatasetRef(uri="https://user:secret@example.org/sets/cats.zip?signature=s3cret#x"), PAIR)
    assert found.name == "cats.zip"


def test_a_slash_at_the_end_of_a_root_changes_nothing() -> None:
    roots = [
        identity(DatasetRef(torchvision="MNIST", root=root), PAIR).root for root in ("/data/mnist", "/data/mnist/")
    ]
    assert roots == ["mnist", "mnist"]


IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=6)


@given(IDS.flatmap(st.permutations))
def test_the_order_in_which_ids_come_does_not_change_their_digest(ids: list[str]) -> None:
    assert ids_digest(ids) == ids_digest(sorted(ids))
