"""Every error that the library raises for a caller to see, as one tree.

NegmergeError                  anything below; its message says what to do
├── SpecError                  a job spec is wrong; ``errors`` lists every wrong field
├── DataError                  a data set cannot be used
│   ├── ArchiveError           an archive is cut off, unsafe, too large, or holds no images
│   └── SelectionError         a selection names what is not there, overlaps, or leaves nothing
├── ModelError                 a model's config or weights do not fit
├── CheckpointError            a weights file cannot be read or written
│   └── TensorError            one tensor is missing, extra, misshapen or not finite; ``tensor`` names it
├── MergeError                 the merge itself is impossible (no task vector, partials that overlap)
│   └── DivergedError          a point's weights or loss are not finite, or a |τ| is 8 or more
├── ExtraError                 a command's extra is not installed
├── PublishError               a model or a result cannot be handed on: to a hub, a registry, another format
└── Interrupted                on_step asked to stop; not a failure, and never counted as one
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One wrong field: a JSON pointer (RFC 6901) into the document, and what to do about it."""

    pointer: str
    detail: str


class NegmergeError(Exception):
    """Root of the tree. ``str(error)`` is one or two sentences for a person."""


class SpecError(NegmergeError):
    """A job spec is wrong. ``errors`` holds a FieldError for each wrong field, in document order."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.pointer or '/'}: {error.detail}" for error in errors))


class DataError(NegmergeError):
    """A data set cannot be used."""


class ArchiveError(DataError):
    """An archive is cut off, unsafe, over a limit, or does not hold images in folders per class."""


class SelectionError(DataError):
    """A selection names what is not there, overlaps another, or leaves nothing.

    ``pointer`` says where in the spec it stands.
    """

    def __init__(self, detail: str, pointer: str = "") -> None:
        self.pointer = pointer
        super().__init__(detail)


class ModelError(NegmergeError):
    """A model's config or weights do not fit what is asked of them."""


class CheckpointError(NegmergeError):
    """A weights file cannot be read or written."""


class TensorError(CheckpointError):
    """One tensor is missing, extra, misshapen or not finite."""

    def __init__(self, tensor: str, detail: str) -> None:
        self.tensor = tensor
        self.detail = detail
        super().__init__(f"tensor {tensor[:200]!r}: {detail}")


class MergeError(NegmergeError):
    """The merge is impossible."""


class DivergedError(MergeError):
    """A point's weights or loss are not finite, or a |τ| is 8 or more."""


class ExtraError(NegmergeError):
    """A command needs an extra that is not installed, or not whole."""

    def __init__(self, extra: str, missing: str | None) -> None:
        super().__init__(
            f"this command needs the extra {extra!r}, of which {missing or 'a module'} is not installed: "
            f"pip install 'negmerge[{extra}]'"
        )


class PublishError(NegmergeError):
    """A model or a result cannot be handed on: a hub or a registry refuses it, or another format cannot hold it."""


class Interrupted(NegmergeError):
    """Raised from ``on_step`` to stop the running step at once (cancel, shutdown, lost lease)."""
