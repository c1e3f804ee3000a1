"""An uploaded model: found in its archive, and judged as far as that goes without torch.

What is judged here: the config's shape, that it names nothing on a hub, that the weights are safetensors and
finite, have an image tower or a head, of the sizes that the config says. The worker judges the rest in prepare.
"""

import gzip
import hashlib
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from app.intake import strict_json, zoo
from negmerge.data.members import Limits, Meter
from negmerge.data.tars import tar_members
from negmerge.data.zips import zip_members
from negmerge.errors import CheckpointError, ModelError
from negmerge.formats.families import FAMILIES, OPEN_CLIP, Family, family_of
from negmerge.formats.headers import Header, check_finite, read_header

MAX_CONFIG_BYTES = 2**20
MAX_FILES = 10_000
"""Most files in a model's archive. A folder has a handful."""
UNPACKED = "weights.safetensors"
"""What an archive's weights are called beside it, whatever their name in there."""

_CHUNK = 1 << 20
_UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    gzip.BadGzipFile,
    RuntimeError,
    ValueError,
)
_HEADS = {"fc", "head", "classifier"}
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass(frozen=True)
class Weights:
    """A judged upload: the safetensors file with its size and SHA-256 (hex), and its config."""

    path: Path
    size: int
    sha256: str
    config: dict[str, Any]
    family: Family


def open_upload(path: Path, config: str | None, max_bytes: int) -> Weights:
    """Judge an upload: a zip or tar of a model's folder, or one safetensors file with its ``config`` as JSON.

    Unpacks into the folder of ``path``. Raises ModelError, CheckpointError, and ArchiveError for an archive that no
    honest tool would write, or over the limits.
    """
    limits = Limits(bytes=max_bytes, files=MAX_FILES, file_bytes=max_bytes)
    kind = _kind(path)
    if kind is None:
        if config is None:
            raise ModelError("one safetensors file needs its config: send the part 'config' with the JSON")
        weights, text = path, config.encode()
    elif config is not None:
        raise ModelError("an archive brings its own config: leave the part 'config' away")
    else:
        weights = path.with_name(UNPACKED)
        with _opened(path, kind, limits) as archive:
            text = _unpack(archive, weights, limits)
    document, family = parse_config(text)
    with weights.open("rb") as file:
        header = read_header(file)  # as a stream: an error does not tell where uploads lie
    if family is OPEN_CLIP:
        check_sizes(document["model_cfg"], header)
    else:
        zoo.check_architecture("timm", document["architecture"])
        check_head(document["num_classes"], header)
    check_finite(weights)
    return Weights(weights, header.size, _sha256(weights), document, family)


def parse_config(text: str | bytes) -> tuple[dict[str, Any], Family]:
    """The config of a model's folder, and whose it is. Raises ModelError, naming the key that is wrong."""
    try:
        document = strict_json.loads(text)
    except strict_json.NotStrict as error:
        raise ModelError(f"the config: {error}") from None
    family = family_of(document)
    assert isinstance(document, dict)
    return document, family


def check_sizes(model: dict[str, Any], header: Header) -> None:
    """Raise ModelError unless there is an image tower, and it has the sizes that ``model_cfg`` says.

    Sizes are compared for open_clip's own vision transformer; other towers are the worker's to judge.
    """
    shapes = {name: info.shape for name, info in header.tensors.items()}
    if not any(name.startswith("visual.") for name in shapes):
        raise ModelError("the weights have no image tower (no tensor 'visual.…'): send an open_clip model")
    vision, dimension = model["vision_cfg"], model.get("embed_dim")
    if type(dimension) is not int:
        raise ModelError('"model_cfg" needs "embed_dim", a whole number')
    patches, projection = shapes.get("visual.conv1.weight", ()), shapes.get("visual.proj", ())
    if vision.get("timm_model_name") or "visual.class_embedding" not in shapes or len(patches) != 4:
        return
    blocks = [re.match(r"visual\.transformer\.resblocks\.(\d+)\.", name) for name in shapes]
    sizes = [
        ("vision_cfg.width", vision.get("width"), patches[0]),
        ("vision_cfg.patch_size", vision.get("patch_size"), patches[3]),
        ("vision_cfg.layers", vision.get("layers"), len({block[1] for block in blocks if block})),
        ("embed_dim", dimension, projection[1] if len(projection) == 2 else "none"),
    ]
    for name, said, found in sizes:
        if type(said) is int and said != found:
            raise ModelError(f"another architecture: the config says {name} {said}, the weights have {found}")


def check_head(classes: int, header: Header) -> None:
    """Raise ModelError where none of the weights that may be a classifier's head has so many outputs.

    timm calls the head ``fc``, ``head`` or ``classifier``, with more names below where it has parts; what is called
    otherwise is the worker's to judge.
    """
    heads: dict[str, int] = {}
    for name, info in sorted(header.tensors.items(), key=lambda item: item[0].count(".")):
        *places, last = name.split(".")
        if info.shape and last == "weight" and _HEADS & set(places):
            heads[name] = info.shape[0]
    if heads and classes not in heads.values():
        name = next(iter(heads))  # the plainest: fc.weight before layer1.se.fc.weight
        raise ModelError(
            f'a head of another size: the config says "num_classes" {classes}, {name} has {heads[name]} outputs'
        )


@dataclass(frozen=True)
class _Entry:
    """A file in an archive: its name, and its stdlib record."""

    name: str
    record: zipfile.ZipInfo | tarfile.TarInfo

    @property
    def packed(self) -> int | None:
        """Bytes that it takes in a zip; None in a tar, where packing has been measured as a whole."""
        return self.record.compress_size if isinstance(self.record, zipfile.ZipInfo) else None


@dataclass(frozen=True)
class _Archive:
    """An open zip or tar whose members have been looked through."""

    entries: list[_Entry]
    source: zipfile.ZipFile | tarfile.TarFile

    def open(self, entry: _Entry) -> IO[bytes]:
        if isinstance(self.source, zipfile.ZipFile):
            return self.source.open(cast(zipfile.ZipInfo, entry.record))
        found = self.source.extractfile(cast(tarfile.TarInfo, entry.record))
        assert found is not None  # entries are regular files only
        return found


def _kind(path: Path) -> str | None:
    """What the file is by its first bytes: "zip", "tar", "tar.gz", or None for what is no archive.

    A safetensors file begins with its header's length, which may look like gzip's mark, and then with a brace.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if start[257:262] == b"ustar":
        return "tar"
    return "tar.gz" if start[:3] == b"\x1f\x8b\x08" and start[8:9] != b"{" else None


@contextmanager
def _opened(path: Path, kind: str, limits: Limits) -> Iterator[_Archive]:
    """The archive, after one pass over its members by the readers of data sets.

    They count what inflates, and let no link, no second end, no overlapping and no endless header through, all
    of which ``zipfile`` and ``tarfile`` would follow.
    """
    for _member in zip_members(path, limits) if kind == "zip" else tar_members(path, limits):
        pass
    try:
        if kind == "zip":
            with zipfile.ZipFile(path) as packed:
                infos = [info for info in packed.infolist() if not info.is_dir()]
                yield _Archive([_Entry(info.filename, info) for info in infos], packed)
        else:
            with tarfile.open(path, "r:gz" if kind == "tar.gz" else "r:") as tar:
                yield _Archive([_Entry(member.name, member) for member in tar if member.isreg()], tar)
    except _UNREADABLE as error:
        raise ModelError(f"the archive is damaged or cut off: {error}") from None


def _unpack(archive: _Archive, weights: Path, limits: Limits) -> bytes:
    """Write the weights, return the config's text."""
    family = _family(archive)
    config_entry, weights_entry = _member(archive, family.config_file), _member(archive, family.weights_file)
    with archive.open(config_entry) as file:
        text = file.read(MAX_CONFIG_BYTES + 1)
    if len(text) > MAX_CONFIG_BYTES:
        raise ModelError(f"{family.config_file} is over {MAX_CONFIG_BYTES} bytes")
    meter = Meter(limits)
    with archive.open(weights_entry) as file, weights.open("xb") as target:
        while chunk := file.read(_CHUNK):
            meter.count_bytes(len(chunk), weights_entry.packed)
            target.write(chunk)
    return text


def _family(archive: _Archive) -> Family:
    """Whose folder it is, by the config's name: open_clip's where both are there, as in its folders on a hub."""
    names = {PurePosixPath(entry.name).name for entry in archive.entries}
    for family in FAMILIES.values():
        if family.config_file in names:
            return family
    wanted = " or ".join(family.config_file for family in FAMILIES.values())
    raise ModelError(f"the archive has no {wanted}: send a folder in open_clip's or timm's own format")


def _member(archive: _Archive, wanted: str) -> _Entry:
    """The file of this name at the archive's root, or in the one folder around everything."""
    found = [entry for entry in archive.entries if PurePosixPath(entry.name).name == wanted]
    found = [entry for entry in found if len(PurePosixPath(entry.name).parts) <= 2]
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelError(f"the archive has {len(found)} files {wanted}: send one model's folder")
    if wanted.endswith(".safetensors") and any(entry.name.endswith(_PICKLES) for entry in archive.entries):
        raise CheckpointError(f"the archive has pickled weights: send {wanted}, never a pickle")
    raise ModelError(f"the archive has no {wanted}: send a folder in open_clip's or timm's own format")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
