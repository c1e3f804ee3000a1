"""What the service answers with, each with an example: pages, data sets, models, artifacts, problems, the system.

The service and its clients share these records; those of jobs are in ``job_resources``. pydantic only, no torch.
"""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field

from negmerge import __version__
from negmerge.spec.fields import OnUnreadable
from negmerge.spec.figures import Part
from negmerge.spec.methods import METHOD_NAMES
from negmerge.spec.newer import Open
from negmerge.spec.presets import PRESETS
from negmerge.spec.rivals import rival_names

Item = TypeVar("Item")

TYPE_PREFIX = "urn:negmerge:problem:"
"""What the `type` of every problem begins with."""

TIME = "2026-11-25T09:30:00Z"
JOB_ID = "job_0006447d7b1f2a3c5e8d90ab12"
DATASET_ID = "ds_0006447d7a0b11c2d3e4f50617"
MODEL_ID = "mdl_0006447d79f3a8b7c6d5e4f302"
DIGEST = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

JOB_SPEC = {
    "base_model": {"family": "open_clip", "architecture": "ViT-B-32", "weights": "openai"},
    "forget": {"dataset": DATASET_ID, "select": {"classes": ["seven"]}},
    "retain": {"dataset": DATASET_ID},
    "sweep": {"grid": {"learning_rate": [1e-5, 3e-6], "weight_decay": [0.0, 0.1], "epochs": [1, 2, 3]}},
    "compare": ["uniform", "task_arithmetic"],
    "metadata": {"ticket": "DSR-1234"},
}


def example(**values: Any) -> ConfigDict:
    """The schema's example in OpenAPI."""
    return ConfigDict(json_schema_extra={"example": values})


def _as_a_page(schema: dict[str, Any], page: type[BaseModel]) -> None:
    """A generic's own docstring is not inherited; its example has that of one entry."""
    schema["description"] = "A page of a list, and where the next one begins."
    [entry] = get_args(page.model_fields["data"].annotation)
    schema["example"] = {"data": [entry.model_config["json_schema_extra"]["example"]], "next_cursor": None}
    if "total" in page.model_fields:
        schema["example"]["total"] = 1


class Page(BaseModel, Generic[Item]):
    """A page of a list. Ask again with ``cursor`` = ``next_cursor`` until that is null."""

    model_config = ConfigDict(json_schema_extra=_as_a_page)

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """``JobPage``: what generators of clients call it."""
        return f"{params[0].__name__}Page"

    data: list[Item]
    next_cursor: str | None = Field(description="Null on the last page.")


class Dataset(BaseModel):
    """A data set. ``samples`` and ``classes`` are known for uploaded ones."""

    model_config = example(
        id=DATASET_ID,
        name="digits",
        uri=None,
        bytes=210_432,
        digest=DIGEST,
        samples=1797,
        classes={"zero": 178, "one": 182},
        note=None,
        class_names={"zero": "zero", "one": "one"},
        templates=["a photo of the digit {}."],
        on_unreadable="refuse",
        left_out=[],
        created_at=TIME,
    )

    id: str
    name: str
    uri: str | None
    bytes: int | None
    digest: str | None = Field(description="SHA-256 of the uploaded archive.")
    samples: int | None
    classes: dict[str, int] | None = Field(description="Class → number of samples; empty for pictures without classes.")
    note: str | None = Field(
        None, description="Of pictures without classes: what they were taken for, and how to give them classes."
    )
    class_names: dict[str, str] = Field(description="Class → words of its prompt, where they differ.")
    templates: list[str]
    on_unreadable: Open[OnUnreadable]
    left_out: list[str] | None = Field(description="Ids of images that could not be read; null where not known.")
    created_at: datetime


class Sample(BaseModel):
    """A picture of a data set. Its id is what a job's ``select.ids`` takes."""

    model_config = ConfigDict(
        validate_by_name=True,
        validate_by_alias=True,
        json_schema_extra={
            "example": {
                "id": "seven/0012.png",
                "class": "seven",
                "part": None,
                "thumbnail": f"/v1/datasets/{DATASET_ID}/samples/seven/0012.png/thumbnail",
            }
        },
    )

    id: str = Field(description="Its path in the archive.")
    class_name: str | None = Field(alias="class", description="Null in a data set without classes.")
    part: Open[Part] | None = Field(
        description="The archive's own part; null where it has none, and each job cuts its own."
    )
    thumbnail: str = Field(description="Where its thumbnail is; asking for it needs the scope `images`.")


class SamplePage(Page[Sample]):
    """A page of samples."""

    total: int = Field(description="How many samples there are of these classes and parts, on all pages.")


class Candidate(BaseModel):
    """A sample that is, or looks like, a picture that was looked for."""

    model_config = example(id="seven/0012.png", distance=0, exact=True)

    id: str
    distance: int = Field(ge=0, le=256, description="Bits in which the two look different, of 256.")
    exact: bool = Field(description="Whether all pixels are equal, whatever the format of the files.")


class Match(BaseModel):
    """What was found of one picture, the nearest first."""

    model_config = example(
        file="IMG_0012.jpg", candidates=[{"id": "seven/0012.png", "distance": 0, "exact": True}], problem=None
    )

    file: str = Field(description="The name that came with it; of one in an archive, with the archive's before it.")
    candidates: list[Candidate] = Field([], description="All copies (1,000 at most), then five others at most.")
    problem: str | None = Field(None, description="Why this picture could not be read.")


class Matches(BaseModel):
    """What was found of each picture, in the order in which they came."""

    # the title, as that of `JudgedGate`: not what its field is called
    model_config = ConfigDict(title="MatchesByPicture") | example(
        matches=[
            {
                "file": "IMG_0012.jpg",
                "candidates": [{"id": "seven/0012.png", "distance": 0, "exact": True}],
                "problem": None,
            }
        ]
    )

    matches: list[Match]


class Model(BaseModel):
    """A network: uploaded weights with their config, a URI, or a tag of open_clip's or timm's registry."""

    model_config = example(
        id=MODEL_ID,
        name="digits-clip",
        family="open_clip",
        architecture=None,
        config={"model_cfg": {"embed_dim": 64, "vision_cfg": {}, "text_cfg": {}}},
        uri=None,
        weights=None,
        bytes=1_482_112,
        digest=DIGEST,
        created_at=TIME,
    )

    id: str
    name: str
    family: str = Field(description="`open_clip` (CLIP models) or `timm` (classifiers).")
    architecture: str | None = Field(description="A built-in name; null where ``config`` says it.")
    config: dict[str, Any] | None = Field(description="The model's own config, as its family's library has it.")
    uri: str | None
    weights: str | None = Field(description="The registry tag.")
    bytes: int | None
    digest: str | None = Field(description="SHA-256 of the safetensors file.")
    created_at: datetime


class Artifact(BaseModel):
    """A file that a job left."""

    model_config = example(
        path="unlearned/open_clip_model.safetensors",
        bytes=1_482_112,
        digest=DIGEST,
        media_type="application/octet-stream",
        href=f"/v1/jobs/{JOB_ID}/artifacts/unlearned/open_clip_model.safetensors",
    )

    path: str
    bytes: int
    digest: str
    media_type: str
    href: str


class WrongField(BaseModel):
    """One wrong field."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the body, or `#query/…`, `#header/…`.")
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": f"{TYPE_PREFIX}invalid-spec",
                "title": "The job's spec is wrong",
                "status": 422,
                "detail": "/scale_search/keep: Input should be less than or equal to 1",
                "instance": "/v1/jobs",
                "errors": [{"pointer": "/scale_search/keep", "detail": "Input should be less than or equal to 1"}],
            }
        }
    )

    type: str = Field(description="Stable name of the kind of error; the guide lists them.")
    title: str
    status: int
    detail: str = Field(description="What is wrong and what to do.")
    instance: str = Field(description="The path that was asked for.")
    errors: list[WrongField] = Field(description="The first 100 wrong fields; empty where no field is to blame.")


class Health(BaseModel):
    """The process answers."""

    model_config = example(status="ok")

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether all parts answer; ``parts`` says which do not."""

    model_config = example(ready=True, parts={"database": "ok", "store": "ok", "broker": "ok", "workers": "1"})

    ready: bool
    parts: dict[str, str]


class Meta(BaseModel):
    """What this service is and takes."""

    model_config = example(
        name="negmerge",
        version=__version__,
        api="v1",
        families=["open_clip", "timm"],
        methods=[*METHOD_NAMES, *rival_names()],
        presets=list(PRESETS),
        limits={"max_points": 1023, "max_body_bytes": 4_194_304, "max_upload_bytes": 21_474_836_480},
    )

    name: str
    version: str
    api: str
    families: list[str]
    methods: list[str]
    presets: list[str]
    limits: dict[str, float]
