"""Every error that the client raises, as one tree below ``NegmergeError``.

ClientError                    anything below; its message says what to do
├── NotConfigured              no URL or no key is known, or they may not be used so
├── Unreachable                the service does not answer, after all tries
├── NotUnderstood              what answers is not this service, or not of a version that this client knows
├── DownloadError              a file cannot be downloaded to where it was wanted
│   └── WrongDigest            what came is not what the service says that it has; nothing is kept
├── StillRunning               the time to wait was over before the job was; ``job`` says where it stands
├── JobEnded                   the job has ended without a result; ``job`` has its problem
│   ├── JobFailed
│   └── JobCancelled
└── Problem                    the service answered with a problem (RFC 9457): ``type``, ``status``, ``errors``
    ├── Unauthorized           401: no key, or one that is unknown, expired or revoked
    ├── Forbidden              403: the key lacks a scope
    ├── NotFound               404: no such thing, or another tenant's
    ├── Conflict               409: not possible in the present state
    ├── Deleted                410: it was here
    ├── WrongRequest           400, 405, 412, 413, 415, 416, 422: ``errors`` points at the wrong fields
    ├── TooMany                429: too many at once
    └── ServiceFailure         5xx: the service's fault, after all tries
"""

from collections.abc import Sequence

from negmerge.errors import FieldError, NegmergeError
from negmerge.spec.job_resources import Job
from negmerge.spec.resources import Problem as ProblemRecord


class ClientError(NegmergeError):
    """Root of the tree."""


class NotConfigured(ClientError):
    """No URL or no key is known, or they may not be used in the way that was asked for."""


class Unreachable(ClientError):
    """The service does not answer: no connection, or one that was cut, or too long a silence, after all tries."""


class NotUnderstood(ClientError):
    """What answers is not this service, or not of a version that this client knows."""


class DownloadError(ClientError):
    """A file cannot be downloaded to where it was wanted."""


class WrongDigest(DownloadError):
    """What came is not what the service says that it has. Nothing of it is kept."""


class StillRunning(ClientError):
    """The time to wait was over before the job was."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"job {job.id} is still {job.state.value}: wait longer, or ask again later")


class JobEnded(ClientError):
    """The job has ended without a result."""

    def __init__(self, job: Job) -> None:
        self.job = job
        why = job.problem.detail or job.problem.type if job.problem else ""
        super().__init__(f"job {job.id} was cancelled" if not why else f"job {job.id} has {job.state.value}: {why}")

    @classmethod
    def of(cls, job: Job) -> "JobEnded":
        """The error of a job's end, by its state."""
        return (JobCancelled if job.state == "cancelled" else JobFailed)(job)


class JobFailed(JobEnded):
    """The job has failed; the message has its problem's words."""


class JobCancelled(JobEnded):
    """Somebody cancelled the job."""


class Problem(ClientError):
    """The service's answer was a problem. ``type`` is its stable name without the prefix, such as ``in-use``."""

    def __init__(self, status: int, type: str, title: str, detail: str, errors: Sequence[FieldError] = ()) -> None:
        self.status = status
        self.type = type
        self.title = title
        self.detail = detail
        self.errors = list(errors)
        super().__init__(detail or title)

    @classmethod
    def of(cls, record: ProblemRecord) -> "Problem":
        """The error of a problem, by its status."""
        kind = _BY_STATUS.get(record.status, ServiceFailure if record.status >= 500 else WrongRequest)
        wrong = [FieldError(error.pointer, error.detail) for error in record.errors]
        return kind(record.status, record.type.rpartition(":")[2], record.title, record.detail, wrong)


class Unauthorized(Problem):
    """No key, or one that is unknown, expired or revoked."""


class Forbidden(Problem):
    """The key lacks a scope."""


class NotFound(Problem):
    """No such thing, or another tenant's: the two look alike on purpose."""


class Conflict(Problem):
    """Not possible in the present state; ``type`` says which."""


class Deleted(Problem):
    """It was here, and was deleted."""


class WrongRequest(Problem):
    """The request is wrong; ``errors`` points at each wrong field."""


class TooMany(Problem):
    """Too many at once, of what is counted by key, after all tries."""


class ServiceFailure(Problem):
    """The service's fault, after all tries."""


_BY_STATUS: dict[int, type[Problem]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Deleted,
    429: TooMany,
}
