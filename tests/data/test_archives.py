"""What is read from archives and folders, and what is refused."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from negmerge.data.archives import Index, Sample, index_archive, read_samples
from tests.support.archive_files import (
    PAIR,
    WRITERS,
    Files,
    folders,
    ids,
    png,
    refusal,
    write_folder,
    write_tar,
    write_zip,
)

# What is read


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_per_class_is_indexed_by_path(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    index = index_archive(write(tmp_path / "data", folders("dog/2.png", "cat/b/1.png", "dog/1.jpg")))
    assert index.classes == ("cat", "dog")
    assert index.samples == (
        Sample("cat/b/1.png", "cat", None),
        Sample("dog/1.jpg", "dog", None),
        Sample("dog/2.png", "dog", None),
    )


@pytest.mark.parametrize("write", WRITERS)
def test_samples_are_read_back_to_the_byte(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    files = folders("a/1.png", "a/2.png", "b/3.png")
    path = write(tmp_path / "data", files)
    assert dict(read_samples(path, ["b/3.png", "a/1.png"])) == {k: files[k] for k in ("b/3.png", "a/1.png")}


def test_the_folders_train_val_and_test_are_the_parts(tmp_path: Path) -> None:
    index = index_archive(
        write_zip(tmp_path / "a", folders("train/x/1.png", "train/y/1.png", "Val/y/1.png", "test/x/1.png"))
    )
    assert [(s.class_name, s.part) for s in index.samples] == [
        ("y", "validation"),
        ("x", "test"),
        ("x", "train"),
        ("y", "train"),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    index = index_archive(write_zip(tmp_path / "a", folders("car/1.png", "train/1.png")))
    assert [(s.class_name, s.part) for s in index.samples] == [("car", None), ("train", None)]


@pytest.mark.parametrize("write", WRITERS)
def test_a_single_folder_around_everything_is_stripped(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    files = folders("pets/cat/1.png", "pets/dog/1.png")
    path = write(tmp_path / "data", files)
    index = index_archive(path)
    assert (ids(index), index.root) == (["cat/1.png", "dog/1.png"], "pets")
    assert dict(read_samples(path, ["dog/1.png"], index.root)) == {"dog/1.png": files["pets/dog/1.png"]}


@pytest.mark.parametrize("write", WRITERS)
def test_what_operating_systems_leave_behind_is_ignored(write: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    litter = dict.fromkeys(["__MACOSX/cat/._1.png", "cat/.DS_Store", "dog/Thumbs.db", ".git/config"], b"?")
    assert ids(index_archive(write(tmp_path / "a", {**PAIR, **litter}))) == ["cat/1.png", "dog/1.png"]


def test_a_readme_beside_the_class_folders_is_no_sample(tmp_path: Path) -> None:
    assert len(index_archive(write_zip(tmp_path / "a", {**PAIR, "README.md": b"Pets."})).samples) == 2


def test_names_that_begin_with_a_dot_and_slash_are_plain_paths(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a", folders("./cat/1.png", "./dog/1.png"))
    assert ids(index_archive(path)) == ["cat/1.png", "dog/1.png"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_are_read_in_every_form_of_tar(form: int, tmp_path: Path) -> None:
    long = "cat/" + "x" * 90 + "/" + "y" * 90 + ".png"
    with tarfile.open(tmp_path / "a", "w", format=form) as archive:
        for name, content in write_pairs(tmp_path / "files", {long: png(), "dog/1.png": png()}).items():
            archive.add(content, name)
    assert ids(index_archive(tmp_path / "a")) == [long, "dog/1.png"]


def write_pairs(folder: Path, files: Files) -> dict[str, Path]:
    write_folder(folder, files)
    return {name: folder / name for name in files}


def test_unmarked_utf8_names_of_a_zip_are_read_as_such(tmp_path: Path) -> None:
    """macOS packs UTF-8 names without the flag that says so."""
    path = write_zip(tmp_path / "a", folders("ca__/1.png", "dog/1.png"))
    path.write_bytes(path.read_bytes().replace(b"ca__/1.png", "caé/1.png".encode()))
    assert index_archive(path).classes == ("caé", "dog")


def test_an_index_survives_json(tmp_path: Path) -> None:
    index = index_archive(write_zip(tmp_path / "a", folders("w/train/x/1.png", "w/train/y/2.png", "w/test/y/1.png")))
    assert Index.from_json(json.loads(json.dumps(index.as_json()))) == index


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    files = folders("a/1.png", "b/1.png", "a/2.png")
    backward = dict(reversed(files.items()))
    assert index_archive(write_zip(tmp_path / "a", files)) == index_archive(write_tar(tmp_path / "b", backward))


@pytest.mark.slow
def test_indexing_needs_no_torch() -> None:
    code = "import sys, negmerge.data.archives, negmerge.data.selection; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# WebDataset


@pytest.mark.parametrize(
    ("ending", "content"),
    [("cls", b"7\n"), ("txt", b"7"), ("json", b'{"label": 7}'), ("json", b'{"class": "7", "id": 3}')],
)
def test_a_webdataset_names_the_class_beside_the_image(ending: str, content: bytes, tmp_path: Path) -> None:
    files = {"01.png": png(), f"01.{ending}": content, "02.png": png(), f"02.{ending}": b'{"label": "8"}'}
    files[f"02.{ending}"] = content.replace(b"7", b"8")
    index = index_archive(write_tar(tmp_path / "a.tar", files))
    assert index.samples == (Sample("01.png", "7", None), Sample("02.png", "8", None))


def test_a_webdataset_may_have_parts_and_other_members(tmp_path: Path) -> None:
    files = {"train/1.png": png(), "train/1.cls": b"a", "train/1.npy": b"?", "test/2.jpg": png(), "test/2.cls": b"b"}
    files |= {"train/3.png": png(), "train/3.cls": b"b"}
    index = index_archive(write_tar(tmp_path / "a.tar", files))
    assert [(s.id, s.part) for s in index.samples] == [
        ("test/2.jpg", "test"),
        ("train/1.png", "train"),
        ("train/3.png", "train"),
    ]


def test_a_webdataset_sample_without_a_label_is_named(tmp_path: Path) -> None:
    files = {"1.png": png(), "1.cls": b"a", "2.png": png()}
    assert "'2.png' has no label" in refusal(write_tar(tmp_path / "a.tar", files))


def test_a_webdataset_label_that_says_nothing_counts_as_missing(tmp_path: Path) -> None:
    files = {"1.png": png(), "1.json": b'{"label": "a"}', "2.png": png(), "2.json": b"[1"}
    assert "'2.png' has no label" in refusal(write_tar(tmp_path / "a.tar", files))


@pytest.mark.parametrize("ending", ["cls", "txt", "json"])
@pytest.mark.parametrize(
    "label",
    ["", " ", "a\x1b[31m", "a\nb", "a\u200bb", "a\u202eb", "\ud800", "\0", "a" * 201, "a" * 3_000_000],
    ids=["none", "white", "escape", "lines", "zero width", "right to left", "surrogate", "NUL", "201", "3 MB"],
)
def test_a_webdataset_label_is_judged_alike_wherever_it_stands(ending: str, label: str, tmp_path: Path) -> None:
    text = json.dumps({"label": label}).encode() if ending == "json" else label.encode(errors="surrogatepass")
    files = {"1.png": png(), f"1.{ending}": b'{"label": "a"}' if ending == "json" else b"a"}
    told = refusal(write_tar(tmp_path / "a.tar", {**files, "2.png": png(), f"2.{ending}": text}))
    assert "'2.png' has no label" in told


@pytest.mark.parametrize(
    "beside", [b'"score": NaN', b'"caption": "a\\u0000b"', b'"tag": 1, "tag": 2', b'"caption": "\\ud800"'], ids=repr
)
def test_what_stands_beside_a_webdataset_label_is_not_judged(beside: bytes, tmp_path: Path) -> None:
    files = {"1.png": png(), "1.json": b'{"label": "a", ' + beside + b"}", "2.png": png(), "2.json": b'{"label": "b"}'}
    assert index_archive(write_tar(tmp_path / "a.tar", files)).classes == ("a", "b")


def test_the_longest_webdataset_label_is_a_class(tmp_path: Path) -> None:
    files = {
        "1.png": png(),
        "1.json": json.dumps({"label": "a" * 200}).encode(),
        "2.png": png(),
        "2.json": b'{"label": "b"}',
    }
    assert index_archive(write_tar(tmp_path / "a.tar", files)).classes == ("a" * 200, "b")


# What is no data set


def test_an_empty_archive_is_refused(tmp_path: Path) -> None:
    assert "holds no images" in refusal(write_zip(tmp_path / "a", {}))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert "cut off" in refusal(tmp_path / "a")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"not an archive, however long it is. " * 100)
    assert "not an archive" in refusal(tmp_path / "a")


def test_texts_instead_of_images_are_refused(tmp_path: Path) -> None:
    assert "only files such as 'a/1.txt'" in refusal(write_zip(tmp_path / "a", {"a/1.txt": b"1", "b/2.txt": b"2"}))


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    assert "'dog/2.jpg' is not an image" in refusal(write_zip(tmp_path / "a", {**PAIR, "dog/2.jpg": b"woof"}))


def test_another_file_in_a_class_folder_is_named(tmp_path: Path) -> None:
    assert "'dog/notes.txt' is not an image" in refusal(write_zip(tmp_path / "a", {**PAIR, "dog/notes.txt": b"?"}))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    broken = png()[:-20]
    assert "'dog/2.png' is" in refusal(write_zip(tmp_path / "a", {**PAIR, "dog/2.png": broken}))


def test_a_format_that_runs_programs_is_not_an_image(tmp_path: Path) -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n"
    assert "'dog/2.png' is not an image" in refusal(write_zip(tmp_path / "a", {**PAIR, "dog/2.png": postscript}))


def test_an_image_of_sixteen_bits_is_refused_by_name(tmp_path: Path) -> None:
    files = {**PAIR, "dog/deep.png": png(40_000, mode="I;16")}
    assert "'dog/deep.png' has pixels of type I;16" in refusal(write_zip(tmp_path / "a", files))


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    assert "one class only ('cat')" in refusal(write_zip(tmp_path / "a", folders("train/cat/1.png", "val/cat/2.png")))


def test_an_image_in_no_class_folder_is_named(tmp_path: Path) -> None:
    assert "'stray.png' is in no class folder" in refusal(write_zip(tmp_path / "a", {**PAIR, "stray.png": png()}))


def test_classes_beside_the_parts_are_refused(tmp_path: Path) -> None:
    files = folders("train/cat/1.png", "train/dog/1.png", "extra/1.png")
    assert "'extra/1.png' lies beside train" in refusal(write_zip(tmp_path / "a", files))
