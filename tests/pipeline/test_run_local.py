"""A whole job from its spec to a folder: what it takes, and that it leaves all or nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from negmerge.errors import CheckpointError, DataError, SpecError
from negmerge.pipeline.run_local import run_local
from negmerge.spec.job import JobSpec, parse
from tests.support import local_job, pico

pytestmark = pytest.mark.slow


def test_a_spec_is_taken_as_a_mapping_parsed_or_as_its_file(tmp_path: Path) -> None:
    one = {"points": [{"learning_rate": 1e-3, "epochs": 1, "batch_size": 16}]}
    document = local_job.spec_document(tmp_path, sweep=one)
    (tmp_path / "job.json").write_text(json.dumps(document))
    given: list[JobSpec | dict[str, Any] | str] = [document, parse(document), str(tmp_path / "job.json")]
    digests = [
        run_local(spec, tmp_path / f"out{number}", device="cpu", templates=pico.TEMPLATES).digests
        for number, spec in enumerate(given)
    ]
    assert digests[0] == digests[1] == digests[2]


def test_a_run_never_writes_into_a_folder_that_exists(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="exists"):
        run_local({}, tmp_path)


@pytest.mark.parametrize(
    ("changes", "error"), [({"sweep": {}}, SpecError), ({"retain": {"uri": "nowhere.zip"}}, DataError)]
)
def test_a_run_that_fails_leaves_nothing(tmp_path: Path, changes: dict[str, Any], error: type[Exception]) -> None:
    document = local_job.spec_document(tmp_path, **changes)
    before = set(tmp_path.iterdir())
    with pytest.raises(error):
        run_local(document, tmp_path / "out", device="cpu")
    assert set(tmp_path.iterdir()) == before


def test_a_run_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    document = local_job.spec_document(tmp_path)
    before = set(tmp_path.iterdir())

    def stop(stage: str) -> Any:
        raise KeyboardInterrupt(stage)

    with pytest.raises(KeyboardInterrupt, match="prepare"):
        run_local(document, tmp_path / "out", device="cpu", on_stage=stop)
    assert set(tmp_path.iterdir()) == before


def test_the_number_of_threads_is_set(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        with pytest.raises(DataError):
            run_local(
                local_job.spec_document(tmp_path, retain={"uri": "nowhere.zip"}), tmp_path / "out", threads=before + 1
            )
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
