"""What is fuzzed: every parser of strangers' bytes, with inputs that it takes and words that mean something to it."""

import io
import json
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.api.files import byte_range
from app.api.headers import names, prefers
from app.errors import ServiceError
from app.intake import uploads
from app.intake.weights import open_upload
from negmerge.data.archives import index_archive
from negmerge.data.gunzip import Gunzipped
from negmerge.data.images import check_image
from negmerge.data.layout import label_of
from negmerge.data.members import Limits, safe_name
from negmerge.data.tables import rows_of
from negmerge.errors import NegmergeError
from negmerge.formats import strict_json
from negmerge.formats.families import family_of
from negmerge.formats.headers import read_header
from negmerge.formats.hugging_face.config import library_config
from negmerge.spec.job import parse

REFUSALS = (NegmergeError, ServiceError, strict_json.NotStrict)
"""How a parser may refuse; anything else that it raises is a find."""

_LIMITS = Limits(bytes=2**26, files=1000, pixels=2**20, file_bytes=2**24)


@dataclass(frozen=True)
class Target:
    """A parser: ``run`` takes any bytes. Seeds are inputs that go deep; words are put into them."""

    run: Callable[[bytes], object]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    refusals: tuple[type[Exception], ...] = REFUSALS


def _png(size: tuple[int, int] = (2, 2)) -> bytes:
    return _image("PNG", size)


def _image(form: str, size: tuple[int, int] = (2, 2)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(buffer, form)
    return buffer.getvalue()


_FILES = {"cat/1.png": _png(), "dog/1.png": _png()}


def _zip(compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in _FILES.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def _tar(form: int, mode: str = "w", headers: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form, pax_headers=headers or {}) as archive:  # type: ignore[call-overload]
        for name, content in (_FILES | {"cat/" + 120 * "n" + ".png": _png()}).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _safetensors(document: object, data: bytes = bytes(8)) -> bytes:
    text = json.dumps(document).encode()
    return struct.pack("<Q", len(text)) + text + data


_ONE = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}}
_CLIP = {
    "model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": 32, "layers": 1, "width": 8}, "text_cfg": {"width": 8}},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]},
}
_VIT = {"model_type": "vit", "id2label": {"0": "a", "1": "b"}, "image_size": 224, "layer_norm_eps": 1e-12}
_SWIN = {"model_type": "swin", "num_labels": 3, "depths": [2, 2], "num_heads": [3, 6], "window_size": 7}
_PIXELS = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, "size": {"height": 224, "width": 224}}
_TIMM = {"architecture": "resnet18", "num_classes": 3, "model_args": {"layers": [1, 1]}, "label_names": ["a", "b", "c"]}
_WORDS = {
    "version": "1.0",
    "added_tokens": [],
    "normalizer": {"type": "Replace", "pattern": {"Regex": " +"}, "content": "_"},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<pad>", 0.0], ["a", -1.0], ["_", -2.0]]},
}
_SPEC = {
    "base_model": {"family": "open_clip", "architecture": "ViT-B-32", "weights": "openai"},
    "forget": {"dataset": "ds_1", "select": {"classes": ["a"]}},
    "retain": {"dataset": "ds_1"},
    "sweep": {"grid": {"learning_rate": [1e-5, 3e-6], "epochs": [1]}, "seed": 0},
    "compare": ["uniform"],
    "metadata": {"ticket": "1"},
}
_JSON_WORDS = [
    *(b"null", b"true", b"-0", b"1e999", b"NaN", b'"\\ud800"', b"[[", b"{}", b'"":', b"1e-400", b"\xef\xbb\xbf"),
]


def _written(run: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A parser of files as one of bytes."""

    def on_bytes(content: bytes) -> object:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
            path = Path(name) / "file"
            path.write_bytes(content)
            return run(path)

    return on_bytes


def _index(path: Path) -> object:
    return index_archive(path, _LIMITS, leave_out=True)


def _gunzipped(content: bytes) -> object:
    source = Gunzipped(io.BytesIO(content))
    return sum(len(piece) for piece in iter(lambda: source.read(2**16), b""))


def _of_index(path: Path) -> object:
    from negmerge.checkpoints.files import placement  # here: torch takes seconds, and the others need none of it

    folder = path.parent
    path.rename(folder / "model.safetensors.index.json")
    (folder / "a.safetensors").write_bytes(_safetensors(_ONE))
    return placement(folder)


def _form(content: bytes) -> object:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        form = uploads._Form(b"b", Path(name), frozenset({"name"}))
        try:
            form.feed(content)
            form.drain()
            return form.finish()
        finally:
            form.close()


def _headers(content: bytes) -> object:
    text = content.decode("latin-1")
    return prefers(text, "text/event-stream", "application/json"), names(text, '"a"', weak=True), byte_range(text, 100)


_ARCHIVE_WORDS = [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07", b"\xff\xff\xff\xff", b"../", b"\0", b"\r"]
_TAR_WORDS = [
    *(b"30 path=", b"20 size=9\n", b"GNU.sparse.major=1", b"\x80\0\0\0\xff", b"\x1f\x8b"),
    *(b"x", b"g", b"L", b"K", b"S"),
]
_PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n'

_PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000")
_FIELD = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nn\r\n--b--\r\n'


def _model(path: Path) -> object:
    return open_upload(path, json.dumps(_TIMM), 2**26)


def _tokenizer(path: Path) -> object:
    return _ids(path.rename(path.with_name("tokenizer.json")).parent)


def _tokenizer_config(path: Path) -> object:
    path.with_name("tokenizer.json").write_text(json.dumps(_WORDS))
    return _ids(path.rename(path.with_name("tokenizer_config.json")).parent)


def _ids(folder: Path) -> object:
    from negmerge.models import token_ids  # here: the others need none of its library

    return token_ids.answer({"folder": str(folder), "texts": ["a photo of a cat"], "length": 8, "strip": True})


def _config(content: bytes) -> object:
    return family_of(strict_json.loads(content))


def _preprocessor(content: bytes) -> object:
    return library_config(_VIT, {"preprocessor_config.json": strict_json.loads(content)}, False)


TARGETS: dict[str, Target] = {
    "zip": Target(_written(_index), [_zip(zipfile.ZIP_STORED), _zip(zipfile.ZIP_DEFLATED)], _ARCHIVE_WORDS),
    "tar": Target(
        _written(_index),
        [_tar(tarfile.PAX_FORMAT), _tar(tarfile.GNU_FORMAT), _tar(tarfile.PAX_FORMAT, headers={"comment": "c"})],
        _TAR_WORDS,
    ),
    "tar.gz": Target(_written(_index), [_tar(tarfile.PAX_FORMAT, "w:gz")], _TAR_WORDS),
    "gzip": Target(_gunzipped, [_tar(tarfile.PAX_FORMAT, "w:gz")], refusals=(EOFError, zlib.error)),
    "names": Target(
        lambda content: safe_name(content.decode("utf-8", "surrogateescape")), [b"a/b/c.png", b"./x"], [b"..", b"C:"]
    ),
    "image": Target(lambda content: check_image("x", content, 2**20), [_image(form) for form in _PICTURES]),
    "label": Target(
        lambda content: label_of("a.json", content),
        [b'{"label": "cat", "class": 3}', b'{"x": {"label": 1}}'],
        _JSON_WORDS,
    ),
    "csv": Target(
        lambda content: rows_of("metadata.csv", content),
        [b'file_name,label\na.png,cat\n"b,c.png",dog\n'],
        [b'"', b"\r", b",", b"\n", b"\xef\xbb\xbf"],
    ),
    "jsonl": Target(
        lambda content: rows_of("metadata.jsonl", content),
        [b'{"file_name": "a.png", "label": 3}\n\n{"label": "cat", "file_name": "b.png"}'],
        [*_JSON_WORDS, b"\n"],
    ),
    "safetensors": Target(
        lambda content: read_header(io.BytesIO(content)),
        [_safetensors(_ONE)],
        [*_JSON_WORDS, b'"F16"', b"99999999999"],
    ),
    "shards": Target(
        _written(_of_index), [b'{"weight_map": {"w": "a.safetensors"}}'], [*_JSON_WORDS, b"../", b".safetensors"]
    ),
    "model": Target(_written(_model), [_safetensors(_ONE), _zip(zipfile.ZIP_STORED)], _ARCHIVE_WORDS),
    "json": Target(
        strict_json.loads, [b'{"a": [1, -2.5e3, "x\\u00e9", null, true]}', b"[" * 20 + b"]" * 20], _JSON_WORDS
    ),
    "config": Target(_config, [json.dumps(one).encode() for one in (_CLIP, _TIMM, _VIT, _SWIN)], _JSON_WORDS),
    "preprocessor": Target(_preprocessor, [json.dumps(_PIXELS).encode()], [*_JSON_WORDS, b'"crop_pct": 1', b"384"]),
    "tokenizer": Target(_written(_tokenizer), [json.dumps(_WORDS).encode()], [*_JSON_WORDS, b'"BPE"', b'"WordPiece"']),
    "tokenizer_config": Target(
        _written(_tokenizer_config),
        [b'{"pad_token": {"content": "<pad>"}, "padding_side": "left", "sep_token": "a"}'],
        [*_JSON_WORDS, b'"truncation_side": "left"'],
    ),
    "spec": Target(lambda content: parse(strict_json.loads(content)), [json.dumps(_SPEC).encode()], _JSON_WORDS),
    "form": Target(_form, [_PART + _FIELD], [b"--b", b"--b--\r\n", b"\r\n\r\n", b'name="', b"*0*="]),
    "headers": Target(
        _headers,
        [b"text/event-stream;q=0.5, application/json;q=1", b'"a", W/"b"', b"bytes=0-5"],
        [b";q=", b"*", b"bytes=-"],
    ),
}
"""Every parser by its name."""
