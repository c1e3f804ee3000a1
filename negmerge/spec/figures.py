"""What was measured, as records: counts, accuracies with their intervals, by part and side. pydantic only, no torch.

Library, workers, API and client share these records; the JSON of a record holds the fields that were given and no
others, in the order of their declaration. So a figure that was not measured is absent, while one that is known to be
nothing (a table's empty cell) is null. Fields of a base class that is named last come first.
"""

from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
"""The parts of a data set: trained on, chosen by, reported."""

SideName = Literal["forget", "retain"]
SIDES: tuple[SideName, ...] = ("forget", "retain")


class Record(BaseModel):
    """Base of all records: unchangeable, unknown fields are errors, only what was given is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name in self.model_fields_set}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """That of the fields: pydantic would take what ``_given`` returns for all there is to say.

        Nothing is promised of other fields: a later version answers with more, which no client should stumble over.
        """
        told = handler({name: value for name, value in schema.items() if name != "serialization"})
        handler.resolve_ref_schema(told).pop("additionalProperties", None)
        return told

    def as_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return self.model_dump(mode="json")

    def given(self) -> dict[str, Any]:
        """The fields that were given, with their values as they are."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class CountRecord(Record):
    """``correct`` of ``count`` samples; ``accuracy`` is their share, in [0, 1]."""

    accuracy: float
    correct: int
    count: int


class FigureRecord(CountRecord):
    """An accuracy with the ends of Wilson's 95 % interval, and by class where that was asked for."""

    interval: tuple[float, float]
    per_class: dict[str, "FigureRecord"] | None = Field(None, description="By class name.")

    def with_classes(self, per_class: dict[str, "FigureRecord"]) -> "FigureRecord":
        """The same figure, and those of its classes."""
        return self.model_copy(update={"per_class": per_class})


class Sides(Record):
    """The figures of one part; a side that has no samples there is absent."""

    forget: FigureRecord | None = None
    retain: FigureRecord | None = None


class PartCounts(Record):
    """How many samples each part has."""

    train: int
    validation: int
    test: int


class SplitCounts(Record):
    """How many samples each part of each side has."""

    forget: PartCounts
    retain: PartCounts

    @property
    def forget_part(self) -> Part:
        """Where forgetting is reported: on test for classes; forgotten training samples are measured themselves."""
        return "test" if self.forget.test else "train"


class Reported(NamedTuple):
    """The two figures that a result is judged by; None where there are no samples."""

    forget: FigureRecord | None
    retain: FigureRecord | None


class Measured(Record):
    """What a model scores: by part and side, and for classifiers membership inference."""

    train: Sides | None = None
    validation: Sides | None = None
    test: Sides | None = None
    membership: CountRecord | None = Field(
        None, description="Forgotten samples that the attack takes for ones that were never trained on."
    )

    def figure(self, part: Part, side: SideName) -> FigureRecord | None:
        """The side's figure on the part; None where it was not measured."""
        sides: Sides | None = getattr(self, part)
        figure: FigureRecord | None = None if sides is None else getattr(sides, side)
        return figure

    def reported(self, splits: SplitCounts) -> Reported:
        """What is reported: forgetting on its part, what stays on test data."""
        return Reported(self.figure(splits.forget_part, "forget"), self.figure("test", "retain"))

    def with_membership(self, membership: CountRecord) -> Self:
        """The same figures, and what membership inference found."""
        return self.model_copy(update={"membership": membership})

    def parts(self) -> dict[Part, Sides]:
        """The parts that were measured."""
        return {part: sides for part in PARTS if (sides := getattr(self, part)) is not None}


class Spread(Record):
    """Mean and sample deviation over ``repeats`` values; there is no deviation of one."""

    mean: float
    deviation: float | None
    repeats: int
