"""Every error that the service gives to a client, as one tree, each with a status and a stable ``type``.

ServiceError
├── Malformed             400  the body, a header or a cursor cannot be read at all
├── Unauthorized          401  no key, or one that does not let anybody in
├── Forbidden             403  the key lacks a scope
├── NotFound              404  no such thing, or it is another tenant's
│   └── JobNotFound       404
├── MethodNotAllowed      405
├── Conflict              409  not in this state; the subclasses say which
│   ├── InUse                  a data set or model that a job still needs
│   ├── JobRunning             a job must end before it can be deleted
│   ├── JobFinished            a job that has ended cannot be cancelled
│   ├── ResultNotReady         the job has not ended yet
│   ├── NoResult               the job ended without a result
│   ├── NotUploaded            a data set that only a worker reads has no pictures here
│   └── UnreadablePicture      a picture of a data set that cannot be shown or looked at
├── Gone                  410
│   └── JobDeleted        410  a tombstone is all that is left
├── TooLarge              413  over a limit; the detail names it
├── UnsupportedMedia      415  the Content-Type is not one that this endpoint takes, or there is a Content-Encoding
├── PreconditionFailed    412  If-Match names another version
├── RangeNotSatisfiable   416  the range begins after the end
├── Invalid               422  well-formed and wrong; ``errors`` points at each field
│   ├── InvalidSpec            of a job: its shape, or what it refers to
│   ├── InvalidDataset         an archive or a URI that cannot be a data set
│   ├── InvalidModel           weights or a config that cannot be a model
│   └── IdempotencyMismatch    the key was used with another body
├── TooMany               429  too many at once, of what is counted by key
├── InternalError         500  our fault; the log has the cause
└── Unavailable           503  the database or the store does not answer; try again
    ├── StillHashing      503  a data set's pictures are being hashed for the first time
    └── NoRoom            507  a disk or a quota is full
"""

import errno
from collections.abc import Mapping, Sequence
from typing import ClassVar

from negmerge.errors import FieldError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""How a system says that a disk or a quota is full, or a file as large as this process may write it."""


class ServiceError(Exception):
    """Root of the tree. ``detail`` is one or two sentences for a person and says what to do.

    ``errors`` points at wrong fields by JSON pointer; ``headers`` go out with the response.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The service made a mistake"

    def __init__(
        self, detail: str, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(detail)


class Malformed(ServiceError):
    """The body, a header or a cursor cannot be read at all."""

    status = 400
    type = "malformed"
    title = "The request cannot be read"


class Unauthorized(ServiceError):
    """No key, or one that is unknown, expired or revoked."""

    status = 401
    type = "unauthorized"
    title = "A valid API key is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="negmerge"'})


class Forbidden(ServiceError):
    """The key lacks a scope."""

    status = 403
    type = "forbidden"
    title = "The API key lacks a scope"


class NotFound(ServiceError):
    """No such thing, or it is another tenant's: the two look alike on purpose."""

    status = 404
    type = "not-found"
    title = "There is no such thing"


class JobNotFound(NotFound):
    """No such job for this tenant."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id!r}")


class MethodNotAllowed(ServiceError):
    """The path exists, the method on it does not."""

    status = 405
    type = "method-not-allowed"
    title = "The path does not take this method"


class Conflict(ServiceError):
    """Not possible in the present state."""

    status = 409
    type = "conflict"
    title = "Not possible in the present state"


class InUse(Conflict):
    """A job that has not ended needs this data set, model or job."""

    type = "in-use"
    title = "A job still needs it"


class JobRunning(Conflict):
    """Cancel the job, or wait for its end, before you delete it."""

    type = "job-running"
    title = "The job has not ended"


class JobFinished(Conflict):
    """The job has ended: there is nothing to cancel."""

    type = "job-finished"
    title = "The job has ended already"


class ResultNotReady(Conflict):
    """The job has not ended yet."""

    type = "result-not-ready"
    title = "There is no result yet"


class NoResult(Conflict):
    """The job failed or was cancelled."""

    type = "no-result"
    title = "The job ended without a result"


class NotUploaded(Conflict):
    """Only a worker reads this data set, which is registered by its URI."""

    type = "not-uploaded"
    title = "The data set was not uploaded"

    def __init__(self, dataset_id: str) -> None:
        super().__init__(
            f"{dataset_id} is registered by its URI, which only a worker reads: upload the archive, and what it holds "
            "can be looked at here"
        )


class UnreadablePicture(Conflict):
    """A picture of the data set, or its archive, cannot be read any more, or not within the limits."""

    type = "unreadable-picture"
    title = "The picture cannot be shown"


class Gone(ServiceError):
    """It was deleted; of a job a tombstone is left."""

    status = 410
    type = "deleted"
    title = "It was deleted"


class JobDeleted(Gone):
    """The job was deleted; its tombstone is all that is left."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id!r} was deleted with its artifacts")


class TooLarge(ServiceError):
    """Over a limit; the detail names the setting."""

    status = 413
    type = "too-large"
    title = "Over a limit"


class UnsupportedMedia(ServiceError):
    """The Content-Type is not one that this endpoint takes, or the body has a Content-Encoding."""

    status = 415
    type = "unsupported-media-type"
    title = "The content type is not supported here"


class RangeNotSatisfiable(ServiceError):
    """The range begins after the file's end; ``Content-Range`` has its size."""

    status = 416
    type = "range-not-satisfiable"
    title = "The range is not in the file"

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})


class PreconditionFailed(ServiceError):
    """``If-Match`` names another version of the file than there is."""

    status = 412
    type = "precondition-failed"
    title = "The file is another one"


class TooMany(ServiceError):
    """The key has as many event streams open as it may; try again after ``Retry-After``."""

    status = 429
    type = "too-many"
    title = "Too many at once"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "5"})


class Invalid(ServiceError):
    """A field, part or parameter is wrong; ``errors`` points at each."""

    status = 422
    type = "invalid-request"
    title = "The request is wrong"


class InvalidSpec(Invalid):
    """The job's spec is wrong, in shape or in what it refers to."""

    type = "invalid-spec"
    title = "The job's spec is wrong"


class InvalidDataset(Invalid):
    """The archive or the URI cannot be a data set."""

    type = "invalid-dataset"
    title = "This cannot be a data set"


class InvalidModel(Invalid):
    """The weights, the config or their source cannot be a model."""

    type = "invalid-model"
    title = "This cannot be a model"


class IdempotencyMismatch(Invalid):
    """The Idempotency-Key was used with another body."""

    type = "idempotency-key-reused"
    title = "The Idempotency-Key was used with another body"


class InternalError(ServiceError):
    """Our fault; the log has the cause."""


class Unavailable(ServiceError):
    """The database or the store does not answer; try again after ``Retry-After``."""

    status = 503
    type = "unavailable"
    title = "A part of the service does not answer"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "5"})


class StillHashing(Unavailable):
    """The pictures of the data set are looked at for the first time; ask again after ``Retry-After``."""

    type = "still-hashing"
    title = "The pictures are still being looked at"


class NoRoom(Unavailable):
    """A disk or a quota of the service is full; nothing was kept."""

    status = 507
    type = "no-room"
    title = "The service has no room left"


def every() -> list[type[ServiceError]]:
    """All classes of the tree that have a ``type`` of their own, by status and type."""
    found: dict[str, type[ServiceError]] = {}
    waiting = ServiceError.__subclasses__()
    while waiting:
        error = waiting.pop()
        found.setdefault(error.type, error)
        waiting.extend(error.__subclasses__())
    return sorted(found.values(), key=lambda error: (error.status, error.type))
