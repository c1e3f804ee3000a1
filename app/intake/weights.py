"""An uploaded model: found in its archive, and judged as far as that goes without torch.

What is judged here: the config's shape, that it names nothing on a hub, that the weights are safetensors and
finite, have an image tower or a head, of the sizes that the config says. The worker judges the rest in prepare.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.intake import zoo
from app.intake.model_archives import MAX_CONFIG_BYTES, unpack
from negmerge.data.kinds import packed_otherwise
from negmerge.errors import ArchiveError, ModelError, TensorError
from negmerge.formats import strict_json
from negmerge.formats.families import OPEN_CLIP, Family, family_of
from negmerge.formats.headers import Header, check_finite, read_header
from negmerge.formats.hugging_face import config as hugging_face
from negmerge.formats.hugging_face.config import is_of_transformers
from negmerge.formats.hugging_face.files import processors
from negmerge.formats.timm_config import architecture_of
from negmerge.formats.tokenizer_files import MAX_BYTES, TOKENIZER_FILE, check_there, has_files

_HEADS = {"fc", "head", "classifier"}


@dataclass(frozen=True)
class Weights:
    """A judged upload: the safetensors file with its size and SHA-256 (hex), its config, and a tokenizer's files.

    beside: each file's SHA-256 (hex) by its name; they lie beside the weights.
    """

    path: Path
    size: int
    sha256: str
    config: dict[str, Any]
    family: Family
    beside: dict[str, str]


def open_upload(path: Path, config: str | None, max_bytes: int) -> Weights:
    """Judge an upload: a zip or tar of a model's folder, or one safetensors file with its ``config`` as JSON.

    Unpacks into the folder of ``path``. Raises ModelError, CheckpointError, and ArchiveError for an archive that no
    honest tool would write, or over the limits.
    """
    if not _is_archive(path):
        start = _start(path)
        if start[8:9] != b"{" and (told := packed_otherwise(start)):  # its length may look like a mark
            raise ArchiveError(told)
        if config is None:
            raise ModelError("one safetensors file needs its config: send the part 'config' with the JSON")
        weights, text = path, config.encode()
        beside: dict[str, Path] = {}
        if len(text) > MAX_CONFIG_BYTES:
            raise ModelError(f"the part 'config' is over {MAX_CONFIG_BYTES} bytes")
    elif config is not None:
        raise ModelError("an archive brings its own config: leave the part 'config' away")
    else:
        unpacked = unpack(path, max_bytes)
        text, weights, beside = unpacked.config, unpacked.weights, unpacked.beside
    document, family = parse_config(text)
    beside = _wanted(document, beside)
    for path_beside in beside.values():
        if path_beside.suffix == ".json":
            _check_json(path_beside)
    with weights.open("rb") as file:
        header = read_header(file)  # as a stream: an error does not tell where uploads lie
    if not header.tensors:
        raise ModelError("the weights hold no tensor at all: save the model's state dict")
    if is_of_transformers(document):
        hugging_face.library_config(document, processors(beside), TOKENIZER_FILE in beside)
        check_names(document, header)
    elif family is OPEN_CLIP:
        check_sizes(document["model_cfg"], header)
    else:
        zoo.check_architecture("timm", architecture_of(document))
        check_head(document["num_classes"], header)
    check_finite(weights)
    digests = {name: _sha256(file) for name, file in beside.items()}
    return Weights(weights, header.size, _sha256(weights), document, family, digests)


def parse_config(text: str | bytes) -> tuple[dict[str, Any], Family]:
    """The config of a model's folder, and whose it is. Raises ModelError, naming the key that is wrong."""
    try:
        document = strict_json.loads(text)
    except strict_json.NotStrict as error:
        raise ModelError(f"the config: {error}") from None
    family = family_of(document)
    assert isinstance(document, dict)
    return document, family


def _wanted(document: dict[str, Any], beside: dict[str, Path]) -> dict[str, Path]:
    """The files beside the config that the model needs; the others are removed. Raises ModelError."""
    if is_of_transformers(document):
        return beside
    there = {name: file for name, file in beside.items() if name in MAX_BYTES}
    check_there(document, {name: file.stat().st_size for name, file in there.items()})
    wanted = there if has_files(document) else {}
    for name, file in beside.items():
        if name not in wanted:
            file.unlink()
    return wanted


def check_names(config: dict[str, Any], header: Header) -> None:
    """Raise TensorError unless the weights have the names that a config of transformers asks for, and no others."""
    kind = hugging_face.kind_of(config)
    names = {name for pair in kind.pairs(config) for name in pair.theirs}
    for name in sorted(names - header.tensors.keys()):
        raise TensorError(name, "is missing: these weights are of another architecture than the config says")
    for name in sorted(header.tensors.keys() - names):
        if not name.endswith(kind.passed_over):
            raise TensorError(name, "is extra: the architecture that the config names has no such tensor")


def _check_json(file: Path) -> None:
    """Raise ModelError unless the file looks like a JSON object. What it means its own reader says, on a worker."""
    with file.open("rb") as opened:
        start = opened.read(64).lstrip()
        opened.seek(max(0, file.stat().st_size - 64))
        end = opened.read(64).rstrip()
    if start[:1] != b"{" or end[-1:] != b"}":
        raise ModelError(f"{file.name} is no JSON object, or cut off: save the tokenizer again with save_pretrained")


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


def _is_archive(path: Path) -> bool:
    """Whether the file is a zip, a tar or a gzip by its first bytes.

    A safetensors file begins with its header's length, which may look like gzip's mark, and then with a brace.
    """
    start = _start(path)
    is_zip = start[:4] in (b"PK\x03\x04", b"PK\x05\x06")
    is_gzip = start[:3] == b"\x1f\x8b\x08" and start[8:9] != b"{"
    return is_zip or is_gzip or start[257:262] == b"ustar"


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
