"""An uploaded model: found in its archive, and judged as far as that goes without torch.

What is judged here: the config's shape, that it names nothing on a hub, that the weights are safetensors and
finite, have an image tower, and have the sizes that the config says. The worker judges the rest in prepare.
"""

import hashlib
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from negmerge.errors import CheckpointError, ModelError
from negmerge.headers import Header, check_finite, read_header
from negmerge.model_config import CONFIG_FILE, WEIGHTS_FILE, check_config

MAX_CONFIG_BYTES = 2**20
_CHUNK = 1 << 20
_UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, NotImplementedError)
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass(frozen=True)
class Weights:
    """A judged upload: the safetensors file with its size and SHA-256 (hex), and its config."""

    path: Path
    size: int
    sha256: str
    config: dict[str, Any]


def open_upload(path: Path, config: str | None, max_bytes: int) -> Weights:
    """Judge an upload: a zip or tar of a model's folder, or one safetensors file with its ``config`` as JSON.

    Unpacks into the folder of ``path``. Raises ModelError and CheckpointError.
    """
    archive = _opened(path)
    if archive is None:
        if config is None:
            raise ModelError("one safetensors file needs its config: send the part 'config' with the JSON")
        weights, text = path, config.encode()
    elif config is not None:
        raise ModelError("an archive brings its own config: leave the part 'config' away")
    else:
        weights = path.with_name(WEIGHTS_FILE)
        text = _unpack(archive, weights, max_bytes)
    document = parse_config(text)
    header = read_header(weights)
    check_sizes(document["model_cfg"], header)
    check_finite(weights)
    return Weights(weights, header.size, _sha256(weights), document)


def parse_config(text: str | bytes) -> dict[str, Any]:
    """The config of an open_clip folder. Raises ModelError, naming the key that is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the config is not JSON: {error}") from None
    check_config(document)
    assert isinstance(document, dict)
    return document


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
    patches = shapes.get("visual.conv1.weight", ())
    if vision.get("timm_model_name") or "visual.class_embedding" not in shapes or len(patches) != 4:
        return
    blocks = [re.match(r"visual\.transformer\.resblocks\.(\d+)\.", name) for name in shapes]
    sizes = [
        ("vision_cfg.width", vision.get("width"), patches[0]),
        ("vision_cfg.patch_size", vision.get("patch_size"), patches[3]),
        ("vision_cfg.layers", vision.get("layers"), len({block[1] for block in blocks if block})),
        ("embed_dim", dimension, (*shapes.get("visual.proj", ()), dimension)[1]),
    ]
    for name, said, found in sizes:
        if type(said) is int and said != found:
            raise ModelError(f"another architecture: the config says {name} {said}, the weights have {found}")


@dataclass(frozen=True)
class _Archive:
    """An open zip or tar, as the names of its files and a way to read one."""

    names: list[str]
    source: zipfile.ZipFile | tarfile.TarFile

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        if isinstance(self.source, zipfile.ZipFile):
            with self.source.open(name) as file:
                yield file
            return
        found = self.source.extractfile(name)
        assert found is not None  # names lists regular files only
        with found:
            yield found


def _opened(path: Path) -> _Archive | None:
    try:
        if zipfile.is_zipfile(path):
            packed = zipfile.ZipFile(path)
            return _Archive([entry.filename for entry in packed.infolist() if not entry.is_dir()], packed)
        if tarfile.is_tarfile(path):
            tar = tarfile.open(path)  # noqa: SIM115 - _unpack closes it
            return _Archive([member.name for member in tar if member.isreg()], tar)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ModelError(f"the archive is damaged or cut off: {error}") from None
    return None


def _unpack(archive: _Archive, weights: Path, max_bytes: int) -> bytes:
    """Write the weights, return the config's text."""
    with archive.source:
        config_name, weights_name = _member(archive, CONFIG_FILE), _member(archive, WEIGHTS_FILE)
        try:
            with archive.open(config_name) as file:
                text = file.read(MAX_CONFIG_BYTES + 1)
            with archive.open(weights_name) as file, weights.open("xb") as target:
                _copy(file, target, max_bytes)
        except _UNREADABLE as error:
            raise ModelError(f"the archive is damaged, cut off or encrypted: {error}") from None
    if len(text) > MAX_CONFIG_BYTES:
        raise ModelError(f"{CONFIG_FILE} is over {MAX_CONFIG_BYTES} bytes")
    return text


def _member(archive: _Archive, wanted: str) -> str:
    """The file of this name at the archive's root, or in the one folder around everything."""
    found = [name for name in archive.names if PurePosixPath(name).name == wanted]
    found = [name for name in found if len(PurePosixPath(name).parts) <= 2]
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelError(f"the archive has {len(found)} files {wanted}: send one model's folder")
    if wanted == WEIGHTS_FILE and any(name.endswith(_PICKLES) for name in archive.names):
        raise CheckpointError(f"the archive has pickled weights: send {wanted}, never a pickle")
    raise ModelError(f"the archive has no {wanted}: send a folder in open_clip's own format")


def _copy(source: IO[bytes], target: IO[bytes], max_bytes: int) -> None:
    done = 0
    while chunk := source.read(_CHUNK):
        done += len(chunk)
        if done > max_bytes:
            raise ModelError(f"the weights inflate beyond {max_bytes} bytes (NEGMERGE_MAX_ARCHIVE_BYTES)")
        target.write(chunk)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
