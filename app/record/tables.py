"""The record: every table of the service. The database is the only truth about a job.

Times are timezone-aware UTC and come from the database's own clock. Ids sort by time of making. JSON columns
hold plain documents; nothing large and no weights ever lie in the database.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is put on again at reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_NAMES = {  # a later revision can only change a constraint that has a name
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way of saying it
        datetime: Instant,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON,
        list[int]: JSON,
        int: BigInteger,
    }


class ApiKey(Table):
    """A key that lets a tenant in. Only the SHA-256 of its secret is kept."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(200))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class PageSession(Table):
    """Somebody who signed in to the page with a key, until they sign out or the time is over.

    Only the SHA-256 of the secret in their cookie is kept. What they may do is asked of the key each time.
    """

    __tablename__ = "page_sessions"
    secret_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Dataset(Table):
    """A data set: an uploaded archive (``key``) with what was read of it, or a registered URI."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(200))
    key: Mapped[str | None] = mapped_column(Text)
    index_key: Mapped[str | None] = mapped_column(Text)
    listing_key: Mapped[str | None] = mapped_column(Text)  # its samples as SQLite, with their places in the archive
    hashes_key: Mapped[str | None] = mapped_column(Text)  # of its pictures, made when one is first looked for
    uri: Mapped[str | None] = mapped_column(Text)
    bytes: Mapped[int | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    samples: Mapped[int | None]
    classes: Mapped[dict[str, Any] | None]  # class → number of samples, in folder order
    folder: Mapped[str | None] = mapped_column(Text)  # in which all pictures of a set without classes lie
    class_names: Mapped[dict[str, Any]]  # class → words of the prompt
    templates: Mapped[list[Any]]
    on_unreadable: Mapped[str] = mapped_column(String(20), server_default="refuse")
    left_out: Mapped[list[Any] | None]  # ids of images that could not be read, of an upload
    created_at: Mapped[datetime]

    @property
    def keys(self) -> list[str]:
        """Of all its stored objects."""
        return [key for key in (self.key, self.index_key, self.listing_key, self.hashes_key) if key is not None]


class Model(Table):
    """A network: uploaded weights (``key``) with their config, or a registered URI or tag."""

    __tablename__ = "models"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(200))
    family: Mapped[str] = mapped_column(String(20))
    architecture: Mapped[str | None] = mapped_column(String(200))
    config: Mapped[dict[str, Any] | None]
    key: Mapped[str | None] = mapped_column(Text)  # the safetensors file itself
    uri: Mapped[str | None] = mapped_column(Text)  # a URI, or a registry tag
    bytes: Mapped[int | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    beside: Mapped[dict[str, Any] | None]  # a tokenizer's files, name → SHA-256, stored beside ``key``
    created_at: Mapped[datetime]

    @property
    def keys(self) -> list[str]:
        """Of all its stored objects."""
        return [] if self.key is None else [self.key, *(beside(self.key, name) for name in self.beside or {})]


def beside(key: str, name: str) -> str:
    """The key of a file that is stored beside a model's weights."""
    return f"{key.rpartition('/')[0]}/{name}"


class Job(Table):
    """One unlearning job, from its spec to its end.

    A deleted job stays as a tombstone: who asked for it and when, how it ended, and the digests of its spec and
    of its results, so that whoever holds those files can still show which job they belong to. Its spec, its
    metadata and all else that may name people or samples is gone.
    """

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    state: Mapped[str] = mapped_column(String(20), index=True)
    queue: Mapped[str] = mapped_column(String(64))
    spec: Mapped[dict[str, Any]]
    spec_sha256: Mapped[str] = mapped_column(String(64))  # over the spec as canonical JSON
    meta: Mapped[dict[str, Any]]
    points: Mapped[int]
    device: Mapped[str | None] = mapped_column(String(20))  # the arithmetic: set by prepare, and only
    threads: Mapped[int | None]  # workers with the same one tune and conclude this job
    precision: Mapped[str | None] = mapped_column(String(20))  # of its training
    bfloat16_by: Mapped[str | None] = mapped_column(String(20))  # what computes that; None where it is float32
    prepared_key: Mapped[str | None] = mapped_column(Text)
    result_key: Mapped[str | None] = mapped_column(Text)
    digests: Mapped[dict[str, Any] | None]  # of the result: base, task_vector, unlearned
    outcome: Mapped[str | None] = mapped_column(String(20))  # of a job that succeeded: whether it was enough, and why
    outcome_reason: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[dict[str, Any] | None]  # why it failed
    last_event: Mapped[int]  # the number of the newest event
    created_by: Mapped[str] = mapped_column(String(40))  # the API key's id
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (Index("jobs_by_time", "tenant", "created_at", "id"),)


class JobMetadata(Table):
    """One entry of a job's metadata, to find jobs by. (A path into a JSON column cannot name every key.)"""

    __tablename__ = "job_metadata"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(512))

    __table_args__ = (Index("job_metadata_by_value", "key", "value"),)


class Step(Table):
    """One leased piece of a job: ``prepare``, a ``point``, a ``rival``, or ``conclude``.

    state: open → claimed → folded or diverged (points), done (the others); a claim past its lease is lost, and
    the sweep opens the step again. A point that is trained and not yet folded is claimed and has an outcome.
    """

    __tablename__ = "steps"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    repeat: Mapped[int] = mapped_column(server_default="0")  # of the sweep, for a point or a rival; 0 otherwise
    rival: Mapped[str | None] = mapped_column(String(64))  # what is trained in a step of the kind rival
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int]
    token: Mapped[str | None] = mapped_column(String(40))
    worker: Mapped[str | None] = mapped_column(String(40))
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime | None]  # of an open step that failed: nobody claims it earlier
    hyper_parameters: Mapped[dict[str, Any] | None]
    seed: Mapped[int | None]
    progress: Mapped[dict[str, Any] | None]  # step, total, loss
    outcome: Mapped[dict[str, Any] | None]  # loss, seconds, digest, figures; or why it diverged
    keys: Mapped[list[Any]]  # stored objects that belong to the outcome
    cause: Mapped[dict[str, Any] | None]  # the last failure
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index("steps_by_lease", "lease_until"),)


class Partial(Table):
    """What one worker process has folded of one repeat of a job: its object and the points in it. Never adopted."""

    __tablename__ = "partials"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)  # a UUID for each partial that a process begins
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    repeat: Mapped[int] = mapped_column(server_default="0")
    key: Mapped[str] = mapped_column(Text)
    points: Mapped[list[int]]
    worker: Mapped[str] = mapped_column(String(40))
    updated_at: Mapped[datetime]


class Event(Table):
    """Something that happened to a job, numbered from 1 without gaps."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]]


class Artifact(Table):
    """A file of a finished job under its public path."""

    __tablename__ = "artifacts"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    path: Mapped[str] = mapped_column(String(400), primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    media_type: Mapped[str] = mapped_column(String(100))


class StoredObject(Table):
    """A key of the artifact store, written down before its put, so that garbage collection can find it."""

    __tablename__ = "objects"
    key: Mapped[str] = mapped_column(String(400), primary_key=True)
    owner: Mapped[str | None] = mapped_column(String(40))  # ds_…, mdl_…, a step's token; None: released
    job_id: Mapped[str | None] = mapped_column(String(40), index=True)
    kept: Mapped[bool] = mapped_column(index=True)  # True while some row points at it; once False again, for ever
    created_at: Mapped[datetime]


class IdempotencyRecord(Table):
    """The answer to a POST with an Idempotency-Key, for replay."""

    __tablename__ = "idempotency"
    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    created_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("job_id"),)


class Worker(Table):
    """One life of a worker process that was seen alive: what it computes with, and when it last spoke."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    queue: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(20))
    threads: Mapped[int]
    bfloat16_by: Mapped[str] = mapped_column(String(20), server_default="emulated")
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
