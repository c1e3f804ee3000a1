"""From an archive or a folder to its index: which samples it holds, of which class, in which part. No torch.

Read here: zip, tar, tar.gz and plain folders, with a folder per class at the root or below ``train/``, ``val/``,
``test/``, or a table beside the images; and WebDataset tars (``KEY.jpg`` beside ``KEY.cls``, ``KEY.txt`` or
``KEY.json``), alone or many in a folder, whose names may say the parts. Single folders around everything are
stripped. All is read as a stream, nothing is extracted, no link is followed.
"""

import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from negmerge.data.classes import check_classes
from negmerge.data.image_kinds import OTHER_FORMATS, told_of_ending
from negmerge.data.images import IMAGE_SUFFIXES, DamagedImage, check_image
from negmerge.data.kinds import no_archive
from negmerge.data.layout import LABEL_SUFFIXES, MAX_LABEL_BYTES, label_of, lay_out
from negmerge.data.members import Limits, Member, Meter, Place, ignored, safe_name, suffix
from negmerge.data.shards import members_of_shards, shards_of
from negmerge.data.tables import MAX_BYTES, MAX_ROWS, Rows, is_table, rows_of
from negmerge.data.tars import begins_a_tar, tar_members
from negmerge.data.zips import zip_members
from negmerge.errors import ArchiveError
from negmerge.naming import one_form, shown

_CHUNK = 256 * 2**10
_TOLD = 100
"""Most images that are named after the first that cannot be read."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: ``id`` is its path in the archive, ``part`` is train, validation, test, or None (not said).

    class_name: "" in a data set without classes.
    """

    id: str
    class_name: str
    part: str | None


@dataclass(frozen=True)
class Index:
    """What a data set holds: samples sorted by id, class names sorted, both by code point.

    Without classes it is pictures alone, in which others are looked for; no job takes it.

    root: the single folders around everything, which the ids go without ("" where there is none); without classes, the
    one in which all pictures lie. left_out: the ids of
    images that could not be read.
    most_cut: most samples that may be cut from train for another part, over all classes; None sets no bound. Only
    published data sets have one, which are never stored, so it is no part of the JSON.
    """

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    root: str = ""
    most_cut: int | None = None
    left_out: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        numbers = {name: number for number, name in enumerate(self.classes)}
        rows = [[sample.id, numbers.get(sample.class_name), sample.part] for sample in self.samples]
        left_out = {"left_out": list(self.left_out)} if self.left_out else {}
        return {"classes": list(self.classes), "root": self.root, "samples": rows} | left_out

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What ``as_json`` made."""
        classes = tuple(document["classes"])
        rows = document["samples"]
        samples = tuple(Sample(row[0], "" if row[1] is None else classes[row[1]], row[2]) for row in rows)
        return cls(samples, classes, document["root"], left_out=tuple(document.get("left_out", ())))


def index_archive(
    path: Path,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    verify: bool = True,
    leave_out: bool = False,
    places: dict[str, Place] | None = None,
) -> Index:
    """The index of an archive or a folder.

    verify: read every file, and check that each image is one. Without it the names alone are looked at (and a
    WebDataset's labels), which is enough for what was verified before. leave_out: images that cannot be read are left
    out, by name, rather than refused. places: gets the place of each image in an archive, by its name there.
    Raises ArchiveError, naming the file and what to do: cut off, damaged, unsafe, over a limit, encrypted, not
    images, the same name twice, classes that nobody can tell apart, one class only, or nothing at all.
    """
    names: dict[str, str] = {}  # by the one form of each
    rows = MAX_ROWS
    labels: dict[str, str | None] = {}
    tables: dict[str, Rows | None] = {}
    unreadable: dict[str, str] = {}
    for member in _members(path, limits):
        form = one_form(member.name)
        if form in names:
            raise ArchiveError(_there_twice(names[form], member.name))
        names[form] = member.name
        if is_table(member.name):
            table = rows_of(member.name, _start(member, MAX_BYTES + 1), rows)
            rows -= len(table or ())
            tables[member.name] = table
        elif suffix(member.name) in LABEL_SUFFIXES:
            labels[member.name] = label_of(member.name, _start(member, MAX_LABEL_BYTES + 1))
        elif verify and (told := _why_unreadable(member, limits)):
            unreadable[member.name] = told
        elif places is not None and member.place is not None and suffix(member.name) in IMAGE_SUFFIXES:
            places[member.name] = member.place()
    if unreadable and not leave_out:
        raise ArchiveError(_told_of(unreadable))
    root, found = lay_out(set(names.values()) - unreadable.keys(), labels, tables, unreadable)
    samples = tuple(Sample(*row) for row in sorted(found))
    classes = tuple(sorted({sample.class_name for sample in samples} - {""}))
    check_classes(classes)
    if len(classes) == 1:
        raise ArchiveError(
            f"the data set holds one class only ({shown(classes[0])}): put each class in a folder of its own; pictures "
            "without classes, to look in, lie in one folder with no other files in the archive"
        )
    prefix = f"{root}/" if root else ""
    return Index(samples, classes, root, left_out=tuple(sorted(name.removeprefix(prefix) for name in unreadable)))


def _there_twice(first: str, second: str) -> str:
    if first == second:
        return f"{shown(first)} is in the archive twice: remove one of them"
    return f"{first!a} and {second!a} look the same and differ in Unicode's form only: remove or rename one"


def _why_unreadable(member: Member, limits: Limits) -> str:
    """Why a picture cannot be read, and what to do; nothing for one that can be, and for what is no picture."""
    content, ending = member.read(), suffix(member.name)
    if ending in OTHER_FORMATS:
        return told_of_ending(shown(member.name), ending)
    if ending in IMAGE_SUFFIXES:
        try:
            check_image(member.name, content, limits.pixels)
        except DamagedImage as error:
            return str(error)
    return ""


def _told_of(unreadable: Mapping[str, str]) -> str:
    """All images that cannot be read: the first one's cause, and the names of the others."""
    first, *others = sorted(unreadable)
    told = unreadable[first]
    if others:
        more = f" and {len(others) - _TOLD} more" if len(others) > _TOLD else ""
        told += f". {len(others)} more cannot be read: {', '.join(map(shown, others[:_TOLD]))}{more}"
    return f'{told}. "on_unreadable": "leave_out" goes without them'


def _start(member: Member, size: int) -> bytes:
    """The first bytes of a member, of which all are read."""
    kept = bytearray()
    for piece in member.open():
        kept += piece[: size - len(kept)]
    return bytes(kept)


def read_samples(
    path: Path,
    ids: Collection[str],
    root: str = "",
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Iterator[tuple[str, bytes]]:
    """The images with these ids, in the archive's order, in one pass. ``root`` is the index's.

    Raises ArchiveError where one of them is not there any more, or cannot be read.
    """
    wanted = set(ids)
    prefix = f"{root}/" if root else ""
    for member in _members(path, limits) if wanted else ():
        sample_id = member.name.removeprefix(prefix)
        if member.name.startswith(prefix) and sample_id in wanted:
            wanted.remove(sample_id)
            yield sample_id, member.read()
            if not wanted:
                return
    if wanted:
        raise ArchiveError(f"{shown(min(wanted))} is not in the archive any more: it was changed since")


def _members(path: Path, limits: Limits) -> Iterator[Member]:
    """Each file that counts, of an archive or a folder."""
    if path.is_dir():
        shards = shards_of(path)
        return members_of_shards(shards, limits) if shards else _folder_members(path, limits)
    return (member for member in archive_members(path, limits) if not ignored(member.name))


def archive_members(path: Path, limits: Limits) -> Iterator[Member]:
    """Each regular file in a zip, a tar or a tar.gz, in the order in which they lie, hidden ones too.

    Raises ArchiveError for anything else but folders, for damage, and at the first thing over a limit.
    """
    if not path.is_file():  # a pipe would be waited for, for ever
        raise ArchiveError(f"{shown(path.name)} is no file: give an archive or a folder")
    with path.open("rb") as file:
        start = file.read(512)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return zip_members(path, limits)
    if not begins_a_tar(start) and (told := no_archive(start)):  # a tar begins with a name, and that may be any
        raise ArchiveError(told)
    return tar_members(path, limits)


def _folder_members(folder: Path, limits: Limits) -> Iterator[Member]:
    """Each file below the folder, sorted by name; a link or a device among them is an error."""
    meter = Meter(limits)

    def pieces(path: Path, name: str, size: int) -> Iterator[bytes]:
        meter.check_file(name, size)
        meter.count_bytes(size)
        left = size + 1  # one byte more would tell that the file has grown
        with path.open("rb") as file:
            while chunk := file.read(min(_CHUNK, left)):
                left -= len(chunk)
                yield chunk
        if left != 1:
            raise ArchiveError(f"{shown(name)} was changed while it was read: wait until it is written")

    def walk(inner: Path) -> Iterator[Member]:
        for path in sorted(inner.iterdir()):
            name = safe_name(path.relative_to(folder).as_posix())
            if ignored(name):
                continue
            meter.count_member()
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                yield from walk(path)
            elif stat.S_ISREG(status.st_mode):
                yield Member(name, partial(pieces, path, name, status.st_size))
            else:
                raise ArchiveError(f"{shown(name)} is a link or a device: copy the file itself")

    return walk(folder)
