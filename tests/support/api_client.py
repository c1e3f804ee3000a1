"""The real application for tests: its lifespan, its database with all tables, its store, a real broker."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from httpx2 import Response
from safetensors.numpy import save

from app import auth
from app.auth import Scope
from app.main import create_app
from app.record import reopening, steps
from app.record.db import Database
from app.record.leases import Claim
from app.record.objects import ArtifactFile, register_key
from app.record.retries import Retries
from app.record.states import JobState, StepKind
from app.settings import Settings
from app.store.objects import Store
from tests.support import archive_files, records, stored

CLASSES = ("one", "seven", "two")

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 4,
        "vision_cfg": {"image_size": 8, "patch_size": 4, "width": 8, "layers": 1, "head_width": 4},
        "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 4, "heads": 1, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@dataclass
class Api:
    """A client with a key of tenant ``acme``, and the record behind the application."""

    client: TestClient
    database: Database
    store: Store
    settings: Settings
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, path: str, **options: Any) -> Response:
        """A request with the key, unless ``headers`` brings another Authorization."""
        headers = self.headers | options.pop("headers", {})
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Response:
        """GET with the key."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        """POST with the key."""
        return self.request("POST", path, **options)

    def delete(self, path: str) -> Response:
        """DELETE with the key."""
        return self.request("DELETE", path)

    def key(self, tenant: str = "acme", scopes: tuple[Scope, ...] = (Scope.READ, Scope.WRITE)) -> dict[str, str]:
        """The headers of a new key."""
        with self.database.write() as session:
            _, key = auth.create_key(session, "test", tenant, scopes)
        return {"Authorization": f"Bearer {key}"}

    def upload_dataset(self, content: bytes | None = None, **fields: Any) -> Response:
        """POST /v1/datasets with a small archive of three classes, or other bytes."""
        archive = digits_zip() if content is None else content
        return self.post("/v1/datasets", files={"file": ("digits.zip", archive)}, data=fields)

    def dataset(self) -> str:
        """The id of a new data set with ten images in each of three classes."""
        answer = self.upload_dataset()
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def upload_model(self, content: bytes | None = None, **fields: str) -> Response:
        """POST /v1/models with a tiny safetensors file and its config, or other bytes."""
        data = {"config": json.dumps(CONFIG)} | fields
        return self.post("/v1/models", files={"file": ("m.safetensors", content or weights())}, data=data)

    def model(self) -> str:
        """The id of a new model."""
        answer = self.upload_model()
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def spec(self, **changes: Any) -> dict[str, Any]:
        """A spec that can be submitted: new data set, new model, three points."""
        dataset = self.dataset()
        return {
            "base_model": {"family": "open_clip", "weights": self.model()},
            "forget": {"dataset": dataset, "select": {"classes": ["seven"]}},
            "retain": {"dataset": dataset},
            "sweep": {"grid": {"epochs": [1, 2, 3]}},
        } | changes

    def job(self, **changes: Any) -> str:
        """The id of a new queued job."""
        answer = self.post("/v1/jobs", json=self.spec(**changes))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def finished_job(self, files: Mapping[str, bytes], **spec: Any) -> str:
        """The id of a job that succeeded, with these artifacts really in the store."""
        job_id = records.make_tuning_job(self.database, **spec)
        worker = records.make_worker()
        records.fold(self.database, worker)
        claim = records.claim(self.database, worker)
        assert claim.kind == StepKind.CONCLUDE
        stored = [self._stored(claim, path, content) for path, content in files.items()]
        with self.database.write() as session:
            steps.finish_conclude(session, claim, stored[0].key, stored, {}, records.VERDICT)
        return job_id

    def failed_job(self) -> str:
        """The id of a job that failed in prepare."""
        job_id = records.make_job(self.database)
        claim = records.claim(self.database, records.make_worker())
        with self.database.write() as session:
            reopening.fail_step(session, claim, records.CAUSE, Retries(1, 0.0), final=True)
        assert records.read_job(self.database, job_id).state == JobState.FAILED
        return job_id

    def _stored(self, claim: Claim, path: str, content: bytes) -> ArtifactFile:
        key = f"jobs/{claim.job_id}/{claim.token}/{path}"
        with self.database.write() as session:
            register_key(session, key, claim.token, claim.job_id)
        stored.put(self.store, key, content)
        media = "application/json" if path.endswith(".json") else "application/octet-stream"
        return ArtifactFile(path, key, len(content), sha256(content), media)


@contextmanager
def serving(settings: Settings) -> Iterator[Api]:
    """The application with these settings, migrated and started, with a key."""
    database = Database(settings.database_url)
    database.migrate()
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        api = Api(client, database, Store.open(settings.store_url), settings)
        api.headers = api.key()
        yield api
    database.dispose()


def assert_problem(answer: Response, status: int, kind: str) -> dict[str, Any]:
    """The one shape of every error: an RFC 9457 problem with our type, and its ``errors``. Returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert list(problem) == ["type", "title", "status", "detail", "instance", "errors"]
    assert problem["type"] == f"urn:negmerge:problem:{kind}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.request.url.path
    for error in problem["errors"]:
        assert list(error) == ["pointer", "detail"]
        assert error["pointer"] == "" or error["pointer"][0] in "/#"
    return problem


def pointers(problem: Mapping[str, Any]) -> list[str]:
    """Which fields a problem blames."""
    return [error["pointer"] for error in problem["errors"]]


def digits_zip(per_class: int = 10) -> bytes:
    """A zip with a folder of tiny images for each of three classes."""
    return zipped({f"{name}/{n:02}.png": png(n) for name in CLASSES for n in range(per_class)})


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def png(shade: int) -> bytes:
    """A grey image of 8×8 pixels."""
    return archive_files.png(shade, (8, 8))


def weights(change: Callable[[dict[str, Any]], object] = lambda tensors: None) -> bytes:
    """A safetensors file with the image tower that CONFIG says, as far as the API looks at it."""
    tensors: dict[str, Any] = {
        "visual.class_embedding": np.zeros(8, np.float32),
        "visual.conv1.weight": np.zeros((8, 3, 4, 4), np.float32),
        "visual.proj": np.zeros((8, 4), np.float32),
        "visual.transformer.resblocks.0.ln_1.weight": np.ones(8, np.float32),
        "logit_scale": np.array(1.0, np.float32),
    }
    change(tensors)
    data: bytes = save(tensors)
    return data


def sha256(content: bytes) -> str:
    """Hex digits."""
    return hashlib.sha256(content).hexdigest()
