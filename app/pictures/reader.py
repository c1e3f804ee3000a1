"""Pictures and archives are read in a process of its own (``read``): this side asks it, and says what became of it."""

import threading
from typing import Any, Literal

import structlog

from app.errors import InternalError, NoRoom, Unavailable
from app.settings import Settings
from negmerge import confined

log = structlog.get_logger(__name__)

_AT_ONCE = 2
"""Processes side by side, each of which may take ``check_memory_bytes``."""


class TooDear(Exception):
    """What was asked takes more than it may; the text names the setting."""


class Reader:
    """Asks one process for each question. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def ask(self, what: str, seconds: int | None = None, **question: Any) -> dict[str, Any]:
        """The answer to one question. Raises TooDear; NoRoom, Unavailable and InternalError for the machine.

        seconds: of CPU, with a turn of its own; without them ``check_seconds``, when one of few turns is free.
        """
        if seconds is not None:
            return self._ask(seconds, {"what": what, **question})
        with self._turns:
            return self._ask(self._settings.check_seconds, {"what": what, **question})

    def _ask(self, seconds: int, question: dict[str, Any]) -> dict[str, Any]:
        memory = self._settings.check_memory_bytes
        try:
            answer = confined.ask("app.pictures.read", question, memory, seconds)
        except confined.TooMuch as limit:
            raise TooDear(_told(limit.of, memory, seconds)) from None
        except confined.Starved as starved:
            raise Unavailable(f"the pictures could not be read ({starved}): try again") from None
        except confined.Broken as broken:
            log.error("pictures could not be read", trace=str(broken))
            raise InternalError("the pictures could not be read; the service's log has the cause") from None
        if answer.get("short_of") == "room":
            raise NoRoom("the pictures cannot be unpacked: the machine's disk is full")
        if "short_of" in answer:
            raise Unavailable("the pictures cannot be read from the machine's disk: try again")
        return answer


def _told(of: Literal["memory", "seconds"], memory: int, seconds: int) -> str:
    return {
        "memory": f"{memory} bytes of memory (NEGMERGE_CHECK_MEMORY_BYTES)",
        "seconds": f"{seconds} seconds",
    }[of]
