"""Weights of a real job at any scale: what the front door streams, and what ``negmerge apply`` makes of its files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import negmerge
from app.record.tables import Artifact
from app.settings import Settings
from app.store.scaled import ScaledWeights
from negmerge.spec import paths
from tests.support import pico, pico_timm
from tests.support.service import Service, running

pytestmark = [pytest.mark.server, pytest.mark.slow]

POINTS = [{"learning_rate": rate, "epochs": 8, "batch_size": 8, "label_smoothing": 0.1} for rate in (1e-3, 2e-3)]


@pytest.fixture(scope="module")
def service(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    shared = tmp_path_factory.mktemp("shared")
    pico.make_model(shared / "clip")
    pico_timm.make_model(shared / "timm")
    data = tmp_path_factory.mktemp("data")
    settings = Settings(data_dir=data, broker_url=broker_url, threads=1, poll_seconds=0.1, allowed_roots=[shared])
    with running(settings, tmp_path_factory.mktemp("files")) as service:
        service.start()
        yield service


def base_models(service: Service) -> dict[str, dict[str, Any]]:
    """How a spec may name its base model, where this machine has no registry."""
    shared = service.settings.allowed_roots[0]
    return {
        "clip": {"family": "open_clip", "weights": service.model_id},
        "timm": {"family": "timm", "weights": f"file://{shared}/timm"},
    }


@pytest.mark.parametrize("name", ["clip", "timm"])
def test_the_jobs_files_give_its_weights_at_its_scale_and_at_any_other(
    service: Service, tmp_path: Path, name: str
) -> None:
    scale_search = {"rule": "fixed", "scale": 0.35}
    job_id = service.submit(
        base_model=base_models(service)[name], scale_search=scale_search, sweep={"points": POINTS}, repeats=2
    )
    digests = service.digests(job_id)
    with service.database.read() as session:
        [weights] = [
            path for path in service.artifact_digests(job_id) if path.startswith("unlearned/") and "tens" in path
        ]
        files = [session.get_one(Artifact, (job_id, path)) for path in (weights, paths.BASE, paths.TASK_VECTOR)]
    tau = tmp_path / "tau.safetensors"
    tau.write_bytes(service.store.read(files[2].key))
    base = service.settings.allowed_roots[0] / name  # as it was uploaded, or as the URI names it

    for scale in (0.0, 0.35, 0.8):
        streamed = ScaledWeights(service.store, files[0], files[1], files[2], scale)
        found = hashlib.sha256(b"".join(streamed.stream(0, streamed.size))).hexdigest()
        applied = negmerge.apply(base, tau, tmp_path / f"{scale}", scale=scale)
        assert applied.digest == f"sha256:{found}"
        assert (applied.digest == digests["unlearned"]) is (scale == 0.35)
