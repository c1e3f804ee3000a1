"""Why a step failed, as a document for the job's row and events: ``type``, ``title``, ``detail``."""

import re
from http.client import HTTPException
from typing import Any

from app.errors import NO_ROOM
from negmerge.errors import NegmergeError, SelectionError, SpecError


def cause_of(error: Exception) -> dict[str, Any]:
    """The cause. Of an error that is not ours the message stays in the log: it may name paths and hosts."""
    if not isinstance(error, NegmergeError):
        detail = f"{type(error).__name__} in the worker; its log has the rest"
        return {"type": "worker_error", "title": "The worker made a mistake", "detail": detail}
    cause = {"type": _snake(type(error).__name__), "title": _title(error), "detail": str(error)}
    if isinstance(error, SpecError):
        return cause | {"errors": [{"pointer": e.pointer, "detail": e.detail} for e in error.errors]}
    if isinstance(error, SelectionError) and error.pointer:
        return cause | {"errors": [{"pointer": error.pointer, "detail": str(error)}]}
    return cause


def may_pass(error: NegmergeError) -> bool:
    """Whether trying again may help: the network or the disk failed under it, not what it was given."""
    return isinstance(error.__cause__, OSError | HTTPException)


def lacks_room(error: BaseException | None) -> bool:
    """Whether a full disk or quota is behind it: that is no fault of the job, and passes when somebody makes room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        error = error.__cause__
    return False


def _snake(name: str) -> str:
    """``archive_error`` for ``ArchiveError``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _title(error: NegmergeError) -> str:
    """The first sentence of the class's docstring, which is written for people."""
    return (type(error).__doc__ or "").split(".")[0].strip()
