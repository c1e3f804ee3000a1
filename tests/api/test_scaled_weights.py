"""A job's weights at another scale over HTTP: the bits of ``negmerge apply``, in ranges, with an ETag, as a zip."""

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

import negmerge
from app.api.files import wants_digest
from app.record.tables import Artifact
from app.settings import Settings
from app.store.scaled import PIECE, ScaledWeights
from negmerge.checkpoints.files import save_tensors
from negmerge.merging import vectors
from tests.support.api_client import Api, assert_problem, pointers, serving, sha256

LAMBDA = 0.35
"""The scale that the job chose."""


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


BASE = {
    "a.frozen": noise(40, seed=1),
    "bn.num_batches_tracked": torch.tensor(3),
    "bn.running_mean": noise(5, seed=2),
    "bn.weight": noise(5, seed=3),
    "conv.bias": noise(33, seed=4).to(torch.bfloat16),
    "conv.weight": noise(PIECE + 5, seed=5),
    "half": noise(7, 3, seed=6).to(torch.float16),
    "z.frozen": noise(9, seed=7).to(torch.float16),
}
"""Types and places as mixed as can be, and one tensor that is worked on in two pieces."""
MOVING = ["bn.weight", "conv.bias", "conv.weight", "half"]
TAU = {name: 0.1 * noise(*BASE[name].shape, seed=8) * (noise(*BASE[name].shape, seed=9) > 0) for name in MOVING}


@dataclass
class Finished:
    """A job that succeeded, and the files that it is made of on this machine."""

    api: Api
    job: str
    folder: Path

    @property
    def path(self) -> str:
        return f"/v1/jobs/{self.job}/weights"

    def applied(self, scale: float) -> bytes:
        """What ``negmerge apply`` writes."""
        out = self.folder / "applied.safetensors"
        negmerge.apply(self.folder / "theta_0.safetensors", self.folder / "tau.safetensors", out, scale=scale)
        return out.read_bytes()


def artifacts(folder: Path) -> dict[str, bytes]:
    """What a worker leaves, by public path."""
    save_tensors(BASE, folder / "theta_0.safetensors")
    save_tensors(TAU, folder / "tau.safetensors")
    save_tensors({name: BASE[name] for name in MOVING}, folder / "base.safetensors")
    save_tensors(vectors.unlearned(BASE, TAU, LAMBDA), folder / "unlearned.safetensors")
    return {
        "result.json": b"{}",
        "merged/base.safetensors": (folder / "base.safetensors").read_bytes(),
        "merged/task_vector.safetensors": (folder / "tau.safetensors").read_bytes(),
        "unlearned/config.json": b'{"architecture": "resnet18"}',
        "unlearned/model.safetensors": (folder / "unlearned.safetensors").read_bytes(),
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("scaled")
    with serving(Settings(data_dir=tmp_path_factory.mktemp("files"), broker_url=broker_url)) as api:
        yield Finished(api, api.finished_job(artifacts(folder)), folder)


def test_any_scale_gives_the_bits_of_apply_from_a_folder_and_from_s3(both: Api, tmp_path: Path) -> None:
    there = Finished(both, both.finished_job(artifacts(tmp_path)), tmp_path)
    for scale in (0, 0.6, 1, 999.5):
        answer = both.get(f"{there.path}?scale={scale}")
        assert answer.status_code == 200, answer.text
        assert answer.content == there.applied(scale)
        assert answer.headers["content-length"] == str(len(answer.content))


def test_at_the_jobs_own_scale_it_is_the_jobs_own_file(finished: Finished) -> None:
    assert finished.api.get(f"{finished.path}?scale={LAMBDA}").content == finished.api.get(finished.path).content


def test_at_zero_it_is_the_base_model(finished: Finished) -> None:
    expected = (finished.folder / "theta_0.safetensors").read_bytes()
    assert finished.api.get(f"{finished.path}?scale=0").content == expected


@pytest.mark.parametrize(("asked", "called"), [("0.6", "0.6"), ("1", "1"), ("-0", "0"), ("1e-7", "1e-07")])
def test_a_file_at_another_scale_is_called_by_it(finished: Finished, asked: str, called: str) -> None:
    for query, name in (("", f"model-scale-{called}.safetensors"), ("&format=zip", f"unlearned-scale-{called}.zip")):
        disposition = finished.api.get(f"{finished.path}?scale={asked}{query}").headers["content-disposition"]
        assert disposition.endswith(f'{name}"')
    assert finished.api.get(finished.path).headers["content-disposition"].endswith('="model.safetensors"')


def test_ranges_make_the_whole_wherever_they_are_cut(finished: Finished) -> None:
    """Within the header, within an element, over tensors that move and that do not."""
    whole, path = finished.applied(0.6), f"{finished.path}?scale=0.6"
    cuts = [0, 1, 501, len(whole) - 300, len(whole) - 151, len(whole) - 77, len(whole)]
    parts = [finished.api.get(path, headers={"Range": f"bytes={a}-{b - 1}"}) for a, b in pairwise(cuts)]
    assert {part.status_code for part in parts} == {206}
    assert b"".join(part.content for part in parts) == whole
    assert len({part.headers["etag"] for part in parts}) == 1


def test_each_scale_has_a_strong_etag_of_its_own(finished: Finished) -> None:
    tags = [
        finished.api.request("HEAD", f"{finished.path}{query}").headers["etag"]
        for query in ("", "?scale=0.6", "?scale=0.600", "?scale=6e-1", "?scale=0.61")
    ]
    assert len(set(tags)) == 3
    assert tags[1] == tags[2] == tags[3]
    assert all(re.fullmatch(r'"[0-9a-f]{64}"', tag) for tag in tags)


def test_a_part_that_was_begun_at_another_scale_is_answered_with_the_whole(finished: Finished) -> None:
    other = finished.api.request("HEAD", f"{finished.path}?scale=0.5").headers["etag"]
    answer = finished.api.get(f"{finished.path}?scale=0.6", headers={"Range": "bytes=5-9", "If-Range": other})
    assert (answer.status_code, answer.content) == (200, finished.applied(0.6))


def test_what_the_client_has_is_not_made_again(finished: Finished) -> None:
    path = f"{finished.path}?scale=0.6"
    tag = finished.api.request("HEAD", path).headers["etag"]
    assert finished.api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert_problem(finished.api.get(path, headers={"If-Match": '"other"'}), 412, "precondition-failed")


def test_head_has_the_length_and_no_digest_unless_that_is_wanted(finished: Finished) -> None:
    path, whole = f"{finished.path}?scale=0.6", finished.applied(0.6)
    head = finished.api.request("HEAD", path)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(whole)))
    assert "repr-digest" not in head.headers
    told = finished.api.request("HEAD", path, headers={"Want-Repr-Digest": "sha-512=3, sha-256=10"})
    expected = base64.b64encode(hashlib.sha256(whole).digest()).decode()
    assert told.headers["repr-digest"] == f"sha-256=:{expected}:"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ("", False),
        ("sha-256=1", True),
        ("md5=1,sha-256=10", True),
        ("sha-256=0", False),
        ("sha-256=11", False),
    ],
)
def test_a_digest_is_wanted_as_rfc_9530_says(header: str | None, expected: bool) -> None:
    assert wants_digest(header) is expected


def test_the_zip_has_the_weights_at_the_scale_and_the_config_as_it_is(finished: Finished) -> None:
    answer = finished.api.get(f"{finished.path}?format=zip&scale=0.6")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {"config.json": b'{"architecture": "resnet18"}', "model.safetensors": finished.applied(0.6)}


@pytest.mark.parametrize("scale", ["-0.1", "1000.5", "nan", "inf", "1e999", "much", "1_0", "", "0.5;1"])
def test_a_scale_of_the_wrong_form_is_422_by_its_name(finished: Finished, scale: str) -> None:
    answer = finished.api.get(finished.path, params={"scale": scale})
    assert pointers(assert_problem(answer, 422, "invalid-request")) == ["#query/scale"]


def test_a_scale_that_is_given_twice_is_422(finished: Finished) -> None:
    answer = finished.api.get(f"{finished.path}?scale=0.5&scale=0.6")
    assert pointers(assert_problem(answer, 422, "invalid-request")) == ["#query/scale"]


def test_another_tenants_job_is_404_at_every_scale(finished: Finished) -> None:
    answer = finished.api.get(f"{finished.path}?scale=0.6", headers=finished.api.key("other"))
    assert_problem(answer, 404, "not-found")


def test_an_unfinished_job_has_no_weights_at_any_scale(finished: Finished) -> None:
    answer = finished.api.get(f"/v1/jobs/{finished.api.job()}/weights?scale=0.6")
    assert_problem(answer, 409, "result-not-ready")


def test_a_job_of_an_older_version_says_how_to_get_the_weights(api: Api, tmp_path: Path) -> None:
    files = artifacts(tmp_path)
    del files["merged/base.safetensors"]
    answer = api.get(f"/v1/jobs/{api.finished_job(files)}/weights?scale=0.6")
    assert "negmerge apply" in assert_problem(answer, 404, "not-found")["detail"]


def test_it_is_made_in_pieces_however_large_a_tensor_is(finished: Finished) -> None:
    with finished.api.database.read() as session:
        paths = ("unlearned/model.safetensors", "merged/base.safetensors", "merged/task_vector.safetensors")
        unlearned, base, merged = (session.get_one(Artifact, (finished.job, path)) for path in paths)
    weights = ScaledWeights(finished.api.store, unlearned, base, merged, 0.6)
    pieces = list(weights.stream(0, weights.size))
    assert max(map(len, pieces)) == 4 * PIECE
    assert sha256(b"".join(pieces)) == sha256(finished.applied(0.6))
