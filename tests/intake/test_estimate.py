"""What a job would take, learnt from what earlier jobs took."""

from pathlib import Path

import pytest
from sqlalchemy import select

from app.intake.estimate import estimate
from app.record.db import Database
from app.record.states import StepKind
from app.record.tables import Step
from negmerge.data.archives import Index, Sample
from negmerge.data.selection import split
from negmerge.spec.job_resources import Estimate
from tests.support import records


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path}/record.sqlite")
    database.migrate()
    return database


def finished_job(database: Database, tenant: str, seconds: float) -> None:
    """A job that succeeded, each of whose points took one step of so many seconds."""
    job_id = records.make_finished_job(database, tenant=tenant)
    with database.write() as session:
        for step in session.scalars(select(Step).where(Step.job_id == job_id, Step.kind == StepKind.POINT)):
            step.outcome = {"seconds": seconds, "steps": 1}


def estimated(database: Database, tenant: str) -> Estimate:
    """What the tenant is told of a job like those, on ten samples of the class seven and ten of others."""
    spec = records.make_spec()
    samples = tuple(Sample(f"{name}/{i}", name, None) for name in ("eight", "seven") for i in range(10))
    index = Index(samples, ("eight", "seven"))
    with database.read() as session:
        return estimate(session, tenant, spec, split(spec.forget, spec.retain, index, index).counts())


def test_an_estimate_learns_from_the_tenants_own_jobs(sqlite: Database) -> None:
    """Epochs 1, 2 and 3 over eight training samples are 48 images, at 128 images in 64 seconds."""
    finished_job(sqlite, "acme", seconds=64.0)
    told = estimated(sqlite, "acme")
    assert (told.images, told.seconds) == (48, 24.0)


def test_an_estimate_learns_nothing_from_another_tenants_jobs(sqlite: Database) -> None:
    finished_job(sqlite, "globex", seconds=64.0)
    assert estimated(sqlite, "acme").seconds is None


@pytest.mark.slow
def test_another_tenants_jobs_do_not_change_an_estimate(sqlite: Database) -> None:
    finished_job(sqlite, "acme", seconds=64.0)
    before = estimated(sqlite, "acme")
    finished_job(sqlite, "globex", seconds=1.0)
    assert estimated(sqlite, "acme") == before
