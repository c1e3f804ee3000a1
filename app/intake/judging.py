"""Uploads are judged in a process of its own (``judge``): this side asks it, and says what became of it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from app.errors import InternalError, InvalidDataset, InvalidModel, NoRoom, Unavailable
from app.intake.judge import INDEX, LISTING
from app.intake.weights import Weights
from app.settings import Settings
from negmerge import confined
from negmerge.errors import FieldError
from negmerge.formats.families import family_of

log = structlog.get_logger(__name__)

_MIB = 2**20


@dataclass(frozen=True)
class JudgedDataset:
    """What an archive holds: samples, those of each class, ids of images left out, its index and listing as files.

    folder: the one around everything; without classes, in which all pictures lie.
    """

    samples: int
    classes: dict[str, int]
    folder: str
    left_out: list[str]
    index: Path
    listing: Path


class Judge:
    """Asks one process for each upload."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def dataset(self, path: Path, leave_out: bool) -> JudgedDataset:
        """Index an archive. Raises InvalidDataset, naming the file at fault; NoRoom and Unavailable for the machine."""
        limits = asdict(self._settings.archive_limits)
        found = self._ask(InvalidDataset, path, what="dataset", limits=limits, leave_out=leave_out)
        return JudgedDataset(
            found["samples"],
            found["classes"],
            found["folder"],
            found["left_out"],
            path.with_name(INDEX),
            path.with_name(LISTING),
        )

    def model(self, upload: Path, config: str | None) -> Weights:
        """Judge a model. Raises InvalidModel; NoRoom and Unavailable for the machine."""
        most = self._settings.max_archive_bytes
        found = self._ask(InvalidModel, upload, what="model", config=config, max_bytes=most)
        family = family_of(found["config"])
        path = Path(found["path"])
        return Weights(path, found["size"], found["sha256"], found["config"], family, found["beside"])

    def _ask(self, error: type[InvalidDataset | InvalidModel], path: Path, **question: Any) -> dict[str, Any]:
        settings = self._settings
        memory, seconds = settings.check_memory_bytes, settings.check_seconds + path.stat().st_size // _MIB
        try:
            answer = confined.ask("app.intake.judge", question | {"path": str(path)}, memory, seconds)
        except confined.TooMuch as limit:
            asked = {
                "memory": f"{memory} bytes of memory (NEGMERGE_CHECK_MEMORY_BYTES)",
                "seconds": f"{seconds} seconds (NEGMERGE_CHECK_SECONDS, and one for each MiB)",
            }
            raise _wrong(error, f"checking the file takes more than {asked[limit.of]}: split it") from None
        except confined.Starved as starved:
            raise Unavailable(f"the upload could not be checked ({starved}): try again") from None
        except confined.Broken as broken:
            log.error("an upload could not be judged", trace=str(broken))
            raise InternalError("the upload could not be judged; the service's log has the cause") from None
        short_of = answer.get("short_of")
        if short_of == "room":
            raise NoRoom("the part 'file' cannot be unpacked: the machine's disk is full")
        if short_of == "failed":
            raise Unavailable("the upload cannot be read back from the machine's disk: try again")
        if "wrong" in answer:
            raise _wrong(error, answer["wrong"])
        return answer


def _wrong(error: type[InvalidDataset | InvalidModel], detail: str) -> InvalidDataset | InvalidModel:
    return error(detail, [FieldError("/file", detail)])
