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
from negmerge.spec.precision import AskedPrecision

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


WorkersPerDevice = Annotated[int, Field(ge=1, le=16)] | Literal["auto"]

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

    data_dir: AbsolutePath = Field(
        Path("var/negmerge"),
        description="Where uploads are checked, models and data are cached, and, without the URLs below, all is kept.",
    )
    database_url: str = Field(
        default_factory=_database,
        repr=False,
        description="The record: `sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`.",
    )
    broker_url: str = Field(
        default_factory=_broker,
        repr=False,
        description="Redis or Valkey: `redis://:PASSWORD@HOST:6379/0`, `rediss://…`, `redis+socket://PATH`.",
    )
    store_url: str = Field(
        default_factory=_store,
        repr=False,
        description="Artifacts: `file:///FOLDER`, or `s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=…`.",
    )

    host: str = Field("127.0.0.1", description="The address that the API listens on.")
    port: int = Field(8000, ge=0, le=65_535, description="The port that the API listens on; 0 is any that is free.")
    queue: str = Field(
        "default",
        min_length=1,
        max_length=64,
        description="Jobs taken by this API go to this queue; a worker takes steps of this queue only.",
    )

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="What a worker computes on; `auto` is CUDA where there is one."
    )
    precision: AskedPrecision = Field(
        "auto",
        description="What a job's precision `auto` means on a worker: `float32`, `bfloat16`, or `auto`, which is "
        "bfloat16 where its hardware computes in it: a processor with AMX or AVX512-BF16, CUDA from Ampere on.",
    )
    threads: int = Field(
        0,
        ge=0,
        description="CPU threads of a worker's arithmetic; 0 is all cores that it may use. The same for all workers "
        "of a queue.",
    )
    workers_per_device: WorkersPerDevice = Field(
        1,
        description="Worker processes on one device, which a small model leaves idle: a number, or `auto`, which "
        "begins with one and starts more, up to four, while a GPU is less than half busy and has the memory. On the "
        "CPU `auto` is one. Each takes `NEGMERGE_THREADS`.",
    )

    lease_seconds: Seconds = Field(
        15.0,
        description="How long a claimed step belongs to a worker that does not renew it. Longer: slower to notice a "
        "dead worker.",
    )
    renew_seconds: Seconds = Field(
        3.0,
        description="How often a worker renews: at most half of the lease, better a fifth, so that one slow answer "
        "loses nothing.",
    )
    poll_seconds: Seconds = Field(
        1.0, description="How often an idle worker asks the record for work, and everyone sweeps expired leases."
    )
    flush_seconds: Seconds = Field(
        30.0,
        description="How often a worker commits what it has folded. A crash repeats at most this much, and the "
        "running point.",
    )
    max_attempts: int = Field(5, ge=1, description="At this many failures of one step its job fails, with the cause.")
    retry_seconds: Seconds = Field(
        2.0,
        description="How long a step waits after a failure, for all workers; each further one doubles it, to a minute "
        "at most.",
    )
    upload_grace_seconds: Seconds = Field(
        86_400.0, description="After this time an object of an upload that never ended is collected."
    )

    decoded_hours: float = Field(
        72.0,
        ge=0,
        description="How long pixels that were decoded of a registered data set, and what base models score on them, "
        "are kept for later jobs after one used them last; they go with the data set in any case. 0: until that job's "
        "end.",
    )

    max_upload_bytes: int = Field(20 * 2**30, gt=0, description="Largest body of an upload.")
    max_body_bytes: int = Field(4 * 2**20, gt=0, description="Largest JSON body.")
    max_archive_bytes: int = Field(50 * 2**30, gt=0, description="Largest sum of an archive's files, unpacked.")
    max_archive_files: int = Field(5_000_000, gt=0, description="Most files in an archive.")
    max_archive_ratio: float = Field(200.0, gt=1, description="Most bytes that one packed byte may become.")
    max_image_pixels: int = Field(
        89_478_485,
        gt=0,
        le=89_478_485,
        description="Largest image, in pixels; more than this, Pillow's own limit, is not taken. A worker decodes as "
        "many images at once as take 512 MiB by their size; one of this size takes about 1.3 GB.",
    )

    max_copies_bytes: int = Field(
        20 * 2**30,
        gt=0,
        description="Largest sum of what the API keeps under `pictures/` of its data directory: from S3 the lists of "
        "samples, and a tar.gz without its packing once a picture of it is asked for. The longest unused go first, and "
        "a deleted data set's within a minute.",
    )
    max_match_files: int = Field(
        100, ge=1, le=1000, description="Most pictures that one request looks for; those in archives count."
    )
    max_match_bytes: int = Field(512 * 2**20, gt=0, description="Largest body of a request that looks for pictures.")
    hash_seconds: int = Field(
        3600,
        ge=1,
        description="CPU seconds that hashing the pictures of one data set may take, once, when somebody first looks "
        "for a picture in it: one data set at a time, beside what is asked meanwhile.",
    )
    max_streams_per_key: int = Field(
        32, ge=1, description="Event streams that one key may have open at one API process."
    )
    page_session_seconds: Seconds = Field(
        43_200.0, description="How long somebody who signed in to the page stays signed in."
    )
    check_memory_bytes: int = Field(
        4 * 2**30,
        ge=2**28,
        description="Memory of the process that checks one upload; an upload that takes more is refused. As many as "
        "the machine has cores, and at least four, are checked at once. A process that makes thumbnails may take as "
        "much, and two of them run at once.",
    )
    check_seconds: int = Field(
        60, ge=1, description="CPU seconds that either process may take, and for an upload one more for each MiB."
    )
    min_free_bytes: int = Field(
        2**30,
        ge=0,
        description="Free space for the data directory and for a local store; with less, `/readyz` is 503.",
    )

    allowed_roots: list[AbsolutePath] = Field(
        [], description="Folders that `file:` URIs and torchvision roots may lie in. Empty: none."
    )
    deliver_to: list[Delivery] = Field(
        [],
        repr=False,
        description="Places that a spec's `deliver` may lead below: "
        '`["s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=…"]`. Whoever may submit jobs may write below them, '
        "under the job's id, with the workers' own `AWS_…` credentials. The API judges, the workers write: set it for "
        "both. Empty: none.",
    )
    hub_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s?#@]+)?$",
        description="The hub that `hf-hub:` models are fetched from, such as `https://huggingface.co`, by workers, "
        "without a token. Empty: none.",
    )
    allowed_buckets: list[Bucket] = Field(
        [],
        description="Places that `s3:`, `gs:` and `az:` URIs may lie below: "
        '`["s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=…", "gs://BUCKET"]`. Whoever may submit jobs may read '
        "all below them, with the credentials of the service's environment: `AWS_…`, `GOOGLE_…`, `AZURE_…`. Not the "
        "artifacts' own. Empty: none.",
    )
    allowed_hosts: list[str] = Field([], description="Hosts that `https:` URIs may name. Empty: none.")

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
