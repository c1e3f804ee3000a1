"""What a job's spec refers to: a base model, data sets, and which samples of them. pydantic only, no torch."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from negmerge.spec.fields import OnUnreadable, Place, Seed, Spec, Text, field_error, kind, listed
from negmerge.spec.published_sets import KNOWN, unknown
from negmerge.spec.sources import (
    DatasetSource,
    DatasetUri,
    ModelSource,
    PublishedDataset,
    RegisteredDataset,
    model_source,
)

Architecture = Annotated[
    Annotated[Place, Tag("other")] | Annotated[dict[str, JsonValue], Tag("object")], Discriminator(kind)
]


class OpenClipModel(Spec):
    """A zero-shot model of open_clip; weights with their own config need no ``architecture``."""

    is_classifier: ClassVar[bool] = False
    """Whether the model has a head of its own, rather than one made of class words."""

    family: Literal["open_clip"]
    architecture: Architecture | None = Field(
        None, description="A built-in name such as `ViT-B-32`, or a model's own config."
    )
    weights: Place = Field(description="A registry tag such as `openai`, a `mdl_…` id, a URI, or a local folder.")
    linearised: bool = Field(
        False, description="Work on the image tower's first-order expansion around its weights (NTK) instead of on it."
    )

    @property
    def source(self) -> ModelSource:
        """What ``weights`` means."""
        return model_source(self.weights)


class TimmModel(Spec):
    """A classifier of timm; weights with their own config need no ``architecture``."""

    is_classifier: ClassVar[bool] = True

    family: Literal["timm"]
    architecture: Architecture | None = Field(
        None, description="A built-in name such as `resnet18`, or a model's own config."
    )
    weights: Place = Field(description="A registry tag such as `a1_in1k`, a `mdl_…` id, a URI, or a local folder.")

    @property
    def source(self) -> ModelSource:
        """What ``weights`` means."""
        return model_source(self.weights)


BaseModelSpec = Annotated[OpenClipModel | TimmModel, Field(discriminator="family")]


Names = Annotated[list[Text], Field(fail_fast=True)]
"""A list that may be very long: its first wrong item is told, not a million of them."""


class Select(Spec):
    """Which samples of a data set: exactly one of ``classes``, ``ids`` and ``fraction``."""

    classes: Names | None = Field(None, min_length=1)
    ids: Names | None = Field(None, min_length=1)
    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: Seed = 0

    @field_validator("classes", "ids")
    @classmethod
    def _each_once(cls, names: list[str] | None) -> list[str] | None:
        return None if names is None else list(dict.fromkeys(names))

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("classes", "ids", "fraction") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of classes, ids and fraction, not {listed(given)}")
        return self

    @property
    def by_class(self) -> bool:
        """True where the selection says what is forgotten (classes), False where it lists samples."""
        return self.classes is not None


class DatasetRef(Spec):
    """A data set, and optionally a part of it: exactly one of ``dataset``, ``uri`` and ``torchvision``."""

    dataset: Place | None = Field(None, description="A `ds_…` id of this service.")
    uri: Place | None = Field(None, description="An archive or a folder; schemes and hosts must be allowed.")
    torchvision: Place | None = Field(None, description=f"A published data set by name, with `root`: {listed(KNOWN)}.")
    root: Place | None = Field(None, description="The folder that its files lie in, on the worker.")
    on_unreadable: OnUnreadable | None = Field(
        None, description="With `uri`: images that cannot be read are refused, or left out by name."
    )
    select: Select | None = None

    @field_validator("torchvision")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and (message := unknown(name)):
            raise ValueError(message)
        return name

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("dataset", "uri", "torchvision") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of dataset, uri and torchvision, not {listed(given)}")
        if (self.torchvision is None) != (self.root is None):
            raise field_error("root", "torchvision and root belong together: give both or neither")
        if self.on_unreadable is not None and self.uri is None:
            raise field_error("on_unreadable", "is for a uri: a ds_… has its own from its upload or registration")
        return self

    @property
    def source(self) -> DatasetSource:
        """The data set itself, whatever is selected from it: equal where two references mean the same."""
        if self.dataset is not None:
            return RegisteredDataset(self.dataset)
        if self.uri is not None:
            return DatasetUri(self.uri, self.on_unreadable == "leave_out")
        assert self.torchvision is not None
        assert self.root is not None  # the two belong together
        return PublishedDataset(self.torchvision, self.root)
