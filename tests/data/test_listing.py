"""The listing of a data set: every sample in the order of ids, and its bytes where it says that they are."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.data.archives import Index, Sample, index_archive
from negmerge.data.listing import Listed, Listing, places_of, write_listing
from negmerge.data.members import Limits, Place
from tests.support.archive_files import png, write_tar, write_tar_gz, write_zip

NOWHERE = Place(0, 0)
FILES = {
    f"holiday/{part}/{name}/{n}.png": png(n, (n + 1, 2))
    for part in ("train", "val", "test")
    for name in ("cat", "dög")
    for n in range(3)
}


def listing_of(path: Path, index: Index, places: dict[str, Place] | None = None) -> Listing:
    write_listing(path, index, {sample.id: NOWHERE for sample in index.samples} if places is None else places)
    return Listing(path)


def content_at(archive: bytes, place: Place) -> bytes:
    packed = archive[place.start : place.start + place.size]
    return zlib.decompress(packed, -15) if place.deflated else packed


def stored(path: Path, files: dict[str, bytes]) -> Path:
    return write_zip(path, files, 0)


def deflated(path: Path, files: dict[str, bytes]) -> Path:
    return write_zip(path, files, 8)


@pytest.mark.parametrize("write", [stored, deflated, write_tar, write_tar_gz])
def test_each_picture_lies_where_the_listing_says(write: Any, tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", {"README.md": b"hello", **FILES})
    places: dict[str, Place] = {}
    index = index_archive(archive, places=places)
    content = archive.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)

    found, count = listing_of(tmp_path / "listing", index, places).page(-1, 100)

    assert count == len(FILES)
    assert {f"holiday/{one.id}": content_at(content, one.place) for one in found} == FILES


@pytest.mark.parametrize("write", [deflated, write_tar, write_tar_gz])
def test_places_are_found_without_decoding_too(write: Any, tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", {"cat/1.png": b"no image", "dog/1.png": png()})
    found = places_of(archive, Limits())
    content = archive.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    assert {name: content_at(content, place) for name, place in found.items()} == {
        "cat/1.png": b"no image",
        "dog/1.png": png(),
    }


def test_a_picture_with_a_long_name_in_a_tar_is_found_behind_its_two_headers(tmp_path: Path) -> None:
    files = {f"cat/{'x' * 200}.png": png(3), "dog/1.png": png(4)}
    places: dict[str, Place] = {}
    archive = write_tar(tmp_path / "archive", files)
    index_archive(archive, places=places)
    assert {name: content_at(archive.read_bytes(), place) for name, place in places.items()} == files


NAMES = st.sets(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6), min_size=1, max_size=9)
PARTS = st.sampled_from(["train", "validation", "test", None])


@given(ids=NAMES, data=st.data())
def test_pages_of_any_length_are_the_filtered_index_in_its_order(
    ids: set[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    classes = ("cat", "dog", "owl")
    samples = tuple(Sample(one, data.draw(st.sampled_from(classes)), data.draw(PARTS)) for one in sorted(ids))
    wanted = data.draw(st.sets(st.sampled_from(classes))), data.draw(st.sets(st.sampled_from(["train", "test"])))
    limit = data.draw(st.integers(1, 4))
    listing = listing_of(tmp_path_factory.mktemp("listing") / "a?b#c %41.sqlite", Index(samples, classes))

    pages: list[Listed] = []
    while found := listing.page(pages[-1].number if pages else -1, limit, *wanted)[0]:
        assert len(found) <= limit
        pages += found

    matching = [
        sample
        for sample in samples
        if (not wanted[0] or sample.class_name in wanted[0]) and (not wanted[1] or sample.part in wanted[1])
    ]
    assert [Sample(one.id, str(one.class_name), one.part) for one in pages] == matching
    assert listing.page(-1, 1, *wanted)[1] == len(matching)
    assert [listing.find(one.id) for one in pages] == pages
    assert listing.ids([one.number for one in pages]) == {one.number: one.id for one in pages}


def test_an_id_that_is_not_there_finds_nothing(tmp_path: Path) -> None:
    listing = listing_of(tmp_path / "listing", Index((Sample("cat/1.png", "cat", None),), ("cat",)))
    assert listing.find("cat/2.png") is None
    assert listing.find("../cat/1.png") is None


def test_a_listing_cannot_be_changed_through_what_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "listing"
    listing = listing_of(path, Index((Sample("cat/1.png", "cat", None),), ("cat",)))
    before = path.read_bytes()
    assert listing.page(-1, 5, ["'; DROP TABLE samples; --"], ["train' OR 1=1 --"]) == ([], 0)
    assert path.read_bytes() == before
