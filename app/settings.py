"""Every setting of the service, from ``NEGMERGE_…`` variables. Nothing is read until ``Settings()`` is called.

Without any variable the service keeps everything under ``data_dir``: a SQLite file, a folder as the artifact
store, and the broker's private socket. Credentials of an S3 store are the standard ``AWS_ACCESS_KEY_ID`` and
``AWS_SECRET_ACCESS_KEY`` variables and never pass through here.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from negmerge.data.members import Limits

Seconds = Annotated[float, Field(gt=0)]
AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


def _bucket(place: str) -> str:
    parts = urlsplit(place)
    if parts.scheme not in ("s3", "gs", "az") or not parts.netloc or "@" in parts.netloc or ":" in parts.netloc:
        raise ValueError("must be s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, without credentials")
    if parts.query and (parts.scheme != "s3" or parse_qs(parts.query).keys() - {"endpoint", "region"}):
        raise ValueError("takes endpoint and region behind a ?, and s3: alone does")
    return place


def _of_s3(place: str) -> str:
    if not place.startswith("s3://"):
        raise ValueError("must be s3://BUCKET/PREFIX?endpoint=…&region=…, and credentials are AWS_… variables")
    return place


Bucket = Annotated[str, AfterValidator(_bucket)]
Delivery = Annotated[Bucket, AfterValidator(_of_s3)]


def _database(values: dict[str, Any]) -> str:
    return f"sqlite:///{values['data_dir']}/record.sqlite"


def _broker(values: dict[str, Any]) -> str:
    return f"redis+socket://{values['data_dir']}/broker.sock?virtual_host=0"


def _store(values: dict[str, Any]) -> str:
    return f"{values['data_dir'].as_uri()}/store"


class Settings(BaseSettings):
    """The settings of one process. URLs may carry passwords, so they never show in ``repr``."""

    model_config = SettingsConfigDict(env_prefix="NEGMERGE_", frozen=True, validate_default=True)

    data_dir: AbsolutePath = Field(Path("var/negmerge"), description="Where the embedded service keeps all.")
    database_url: str = Field(default_factory=_database, repr=False, description="SQLite or PostgreSQL.")
    broker_url: str = Field(default_factory=_broker, repr=False, description="Redis or Valkey.")
    store_url: str = Field(
        default_factory=_store,
        repr=False,
        description="`file:///folder`, or `s3://bucket/prefix?endpoint=http://host:port&region=…`.",
    )

    host: str = Field("127.0.0.1", description="The address that the API listens on.")
    port: int = Field(8000, ge=0, le=65_535)
    queue: str = Field("default", min_length=1, max_length=64, description="The queue of jobs and workers.")

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="What a worker computes on.")
    threads: int = Field(0, ge=0, description="CPU threads of a worker's arithmetic; 0 is all cores.")

    lease_seconds: Seconds = Field(15.0, description="How long a claim lives without being renewed.")
    renew_seconds: Seconds = Field(3.0, description="How often a worker renews its claims.")
    poll_seconds: Seconds = Field(1.0, description="How often a worker looks for work and sweeps.")
    flush_seconds: Seconds = Field(30.0, description="How often a worker commits what it has folded.")
    max_attempts: int = Field(5, ge=1, description="At this many failures of one step the job fails.")
    retry_seconds: Seconds = Field(
        2.0,
        description="How long a step waits after a failure; each further one doubles it, to a minute at most.",
    )
    upload_grace_seconds: Seconds = Field(
        86_400.0, description="After this time an object of an upload that never ended is collected."
    )

    max_upload_bytes: int = Field(20 * 2**30, gt=0, description="Largest body of an upload.")
    max_body_bytes: int = Field(4 * 2**20, gt=0, description="Largest JSON body.")
    max_archive_bytes: int = Field(50 * 2**30, gt=0, description="Largest sum of an archive's files, unpacked.")
    max_archive_files: int = Field(5_000_000, gt=0, description="Most files in an archive.")
    max_archive_ratio: float = Field(200.0, gt=1, description="Most bytes that a packed byte may become.")
    max_image_pixels: int = Field(89_478_485, gt=0, le=89_478_485, description="Largest image.")

    max_copies_bytes: int = Field(
        20 * 2**30, gt=0, description="Largest sum of what the API keeps of archives that it cannot read in place."
    )
    max_match_files: int = Field(100, ge=1, le=1000, description="Most pictures that one request looks for.")
    max_match_bytes: int = Field(512 * 2**20, gt=0, description="Largest body of a request that looks for pictures.")
    hash_seconds: int = Field(
        3600, ge=1, description="CPU seconds that hashing the pictures of one data set may take, once."
    )
    max_streams_per_key: int = Field(32, ge=1, description="Event streams that one key may have open at one API.")
    page_session_seconds: Seconds = Field(
        43_200.0, description="How long somebody who signed in to the page stays signed in."
    )
    check_memory_bytes: int = Field(4 * 2**30, ge=2**28, description="Memory of the process that checks an upload.")
    check_seconds: int = Field(
        60, ge=1, description="CPU seconds that it may take, and one more for each MiB of the upload."
    )
    min_free_bytes: int = Field(
        2**30,
        ge=0,
        description="Free space for `data_dir` and a local store; with less, `/readyz` is 503.",
    )

    allowed_roots: list[AbsolutePath] = Field([], description="Where `file:` URIs and torchvision roots may lie.")
    deliver_to: list[Delivery] = Field(
        [], repr=False, description="Where a spec's `deliver` may lead: `s3://bucket/prefix?endpoint=…&region=…`."
    )
    hub_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s?#@]+)?$",
        description="The hub that `hf-hub:` models are fetched from; empty: none.",
    )
    allowed_buckets: list[Bucket] = Field(
        [],
        description="Where `s3:`, `gs:` and `az:` URIs may lie: `s3://bucket/prefix?endpoint=…&region=…`.",
    )
    allowed_hosts: list[str] = Field([], description="Hosts that `https:` URIs may name.")

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        if self.renew_seconds * 2 > self.lease_seconds:
            raise ValueError("NEGMERGE_RENEW_SECONDS must be at most half of NEGMERGE_LEASE_SECONDS")
        return self

    @property
    def archive_limits(self) -> Limits:
        """What a data set's archive may hold."""
        return Limits(
            bytes=self.max_archive_bytes,
            files=self.max_archive_files,
            ratio=self.max_archive_ratio,
            pixels=self.max_image_pixels,
        )

    @property
    def cpu_threads(self) -> int:
        """``threads``, with 0 as the number of cores that this process may use."""
        return self.threads or len(os.sched_getaffinity(0))
