"""The spec of a job from another's accumulators (``from_job``): is that job there, and has it what is asked for?"""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidSpec, ServiceError
from app.record import jobs
from negmerge.errors import FieldError
from negmerge.spec.derived import derive
from negmerge.spec.job import JobSpec, parse

_JOB_ID = re.compile(r"job_[0-9a-f]{26}")


def spec_from(session: Session, tenant: str, document: Mapping[str, Any]) -> JobSpec:
    """The whole spec of a document that has ``from_job``.

    Raises JobNotFound, JobDeleted, ResultNotReady, NoResult and Conflict about the other job, all by the pointer
    ``/from_job``; SpecError and InvalidSpec for what the document says wrong.
    """
    first_id = document["from_job"]
    try:
        original = _original(session, tenant, first_id)
    except ServiceError as error:
        error.errors = [FieldError("/from_job", error.detail)]
        raise
    return derive(document, first_id, original)


def _original(session: Session, tenant: str, first_id: Any) -> JobSpec:
    if not isinstance(first_id, str) or not _JOB_ID.fullmatch(first_id):
        raise InvalidSpec("from_job is the id of a job of this service, such as job_…: name one that succeeded")
    first = jobs.get(session, tenant, first_id)
    jobs.check_succeeded(first)
    original = parse(first.spec)
    if original.from_job is not None:
        raise InvalidSpec(f"{first_id} trained no points itself: name {original.from_job}, whose points it merged")
    if not jobs.has_accumulators(session, first_id):
        raise Conflict(f"{first_id} is of a version that kept no accumulators: submit its spec again as a new job")
    return original
