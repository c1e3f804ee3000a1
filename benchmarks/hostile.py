"""What hostile files and requests of a few megabytes cost, each in a process of its own: seconds, and peak memory.

``python -m benchmarks hostile`` measures this code. To measure another version, check it out and run this file with
that tree on the path: ``PYTHONPATH=/that/tree python benchmarks/hostile.py``. (What four uploads at once do to other
requests of a service was measured by hand: docs/benchmarks.md.)
"""

import gzip
import io
import json
import os
import resource
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MIB = 2**20
_TIMM = {"architecture": "resnet18", "num_classes": 3}
_CASES: dict[str, Callable[[Path], Callable[[], object]]] = {}


def _case(prepare: Callable[[Path], Callable[[], object]]) -> Callable[[Path], Callable[[], object]]:
    _CASES[prepare.__name__.strip("_").replace("_", " ")] = prepare
    return prepare


def _png(side: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _member(name: str, content: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def _upload(path: Path, config: str | None = None) -> Callable[[], object]:
    from app.intake.weights import open_upload

    return lambda: open_upload(path, config, 50 * 2**30)


@_case
def _a_tar_whose_header_makes_its_weights_vast(folder: Path) -> Callable[[], object]:
    """Point 1: a global pax header that declares a sparse file."""
    tensor = json.dumps({"w": {"dtype": "U8", "shape": [734_000_000], "data_offsets": [0, 734_000_000]}}).encode()
    weights = struct.pack("<Q", len(tensor)) + tensor
    real = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": f"0,{len(weights)}"}
    sparse = tarfile.TarInfo.create_pax_global_header(real | {"GNU.sparse.size": str(734_000_000 + len(weights))})
    members = sparse + _member("model.safetensors", weights) + _member("config.json", json.dumps(_TIMM).encode())
    (folder / "upload").write_bytes(members + bytes(1024))
    return _upload(folder / "upload")


@_case
def _a_tar_gz_with_a_header_of_900_MB(folder: Path) -> Callable[[], object]:
    """Point 1: an extended header, packed to six megabytes."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 900 * _MIB
    with gzip.open(folder / "upload", "wb", compresslevel=6) as packed:
        packed.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(900):
            packed.write(os.urandom(4096) + bytes(_MIB - 4096))
        packed.write(_member("config.json", json.dumps(_TIMM).encode()) + bytes(1024))
    return _upload(folder / "upload")


@_case
def _24_images_of_5000_by_5000(folder: Path) -> Callable[[], object]:
    """Point 2: an archive of 2 MB, decoded as a worker does."""
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        picture = _png(5000)
        for number in range(24):
            archive.writestr(f"{number % 2}/{number}.png", picture)
    from open_clip.transform import PreprocessCfg

    from negmerge.data.prompts import DEFAULT_TEMPLATES
    from negmerge.decoding.dataset import decode, open_archive
    from negmerge.decoding.preprocess import of_open_clip

    def attack() -> object:
        dataset = open_archive(folder / "images.zip", None, {}, DEFAULT_TEMPLATES)
        return decode(dataset, dataset.index.samples, of_open_clip(PreprocessCfg(size=32)))

    return attack


@_case
def _a_context_of_12000_words(folder: Path) -> Callable[[], object]:
    """Point 3: a mask of 12,000 × 12,000 that no weights hold."""
    text = {"context_length": 12_000, "vocab_size": 49_408, "width": 8, "heads": 1, "layers": 1}
    vision = {"image_size": 16, "patch_size": 4, "width": 32, "head_width": 16, "layers": 1}
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    import open_clip
    import torch
    from safetensors.torch import save_file

    with torch.device("meta"):
        shapes = open_clip.CLIP(**config["model_cfg"]).state_dict()
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in shapes.items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    from negmerge.models.loading import load_model

    return lambda: load_model(folder)


@_case
def _a_header_of_a_million_tensors(folder: Path) -> Callable[[], object]:
    """Point 4: 58 MB of safetensors that hold nothing."""
    entry = '"tensor.%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = "{" + ",".join(entry % number for number in range(1_000_000)) + "}"
    (folder / "upload").write_bytes(struct.pack("<Q", len(text)) + text.encode())
    return _upload(folder / "upload", json.dumps(_TIMM))


@_case
def _50_MB_of_zeros_behind_a_tar_gz(folder: Path) -> Callable[[], object]:
    """Point 5."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for number in range(2):
            info = tarfile.TarInfo(f"{number}/{number}.png")
            info.size = len(picture := _png(4 + number))
            archive.addfile(info, io.BytesIO(picture))
    (folder / "upload").write_bytes(buffer.getvalue() + bytes(50 * _MIB))
    from negmerge.data.archives import index_archive

    return lambda: index_archive(folder / "upload")


@_case
def _1500_odd_methods(folder: Path) -> Callable[[], object]:
    """Point 6: what /metrics has grown to."""
    from fastapi.testclient import TestClient

    from app.auth import Scope, create_key
    from app.main import create_app
    from app.record.db import Database
    from app.settings import Settings

    settings = Settings(data_dir=folder)
    database = Database(settings.database_url)
    database.migrate()
    with database.write() as session:
        _, secret = create_key(session, "benchmark", scopes=list(Scope))

    def attack() -> object:
        with TestClient(create_app(settings)) as client:
            for number in range(1500):
                client.request(f"ODD{number}", "/healthz")
            metrics = client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
            return f"{len(metrics.content):,} bytes of metrics"

    return attack


@_case
def _a_body_of_4_MB_of_wrong_fields(folder: Path) -> Callable[[], object]:
    """Point 6: unknown fields in the points of a sweep."""
    from app.api import documents
    from negmerge.spec.job import JobSpec

    points = [{f"a{number}": 0 for number in range(380)}] * 1000
    body = json.dumps({"sweep": {"points": points}}, separators=(",", ":")).encode()[: 4 * _MIB]
    return lambda: documents.validated(JobSpec, documents.parse(body))


def _measured(name: str) -> dict[str, Any]:
    """Seconds and peak memory of one case, beside what the process has before it."""
    with tempfile.TemporaryDirectory() as folder:
        attack = _CASES[name](Path(folder))
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far was of making the file
        before, started = _peak(), time.perf_counter()
        try:
            found = attack()
            outcome = found if isinstance(found, str) else "taken"
        except Exception as error:  # noqa: BLE001 - whatever a version says
            outcome = f"{type(error).__name__}: {error}"[:90]
        return {"seconds": time.perf_counter() - started, "bytes": _peak() - before, "outcome": outcome}


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    """Print a row for each case."""
    here = str(Path(__file__).parent.parent)
    path = os.environ.get("PYTHONPATH") or here
    print(f"{'':46}{'seconds':>8}{'MB':>8}  outcome")
    for name in _CASES:
        child = subprocess.run(
            [sys.executable, __file__, name], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
        )
        if child.returncode:
            print(f"{name:46}  ended with {child.returncode}: {child.stderr.strip()[-200:]}")
            continue
        row = json.loads(child.stdout)
        print(f"{name:46}{row['seconds']:8.2f}{row['bytes'] / 1e6:8.0f}  {row['outcome']}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.argv[1:]:
        json.dump(_measured(sys.argv[1]), sys.stdout)
    else:
        main()
