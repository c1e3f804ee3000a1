"""A few samples of a job with what the model takes them for, before and after: ``examples.json``. No torch."""

from pydantic import Field

from negmerge.spec.figures import Part, Record, SideName


class Example(Record):
    """A sample: its id, its class, and the class that the base model and the unlearned one take it for."""

    id: str
    class_name: str
    before: str
    after: str


class Examples(Record):
    """Samples of both sides, of the part on which each side is reported."""

    parts: dict[SideName, Part] = Field(description="The part that a side's samples are of.")
    forget: list[Example]
    retain: list[Example]
