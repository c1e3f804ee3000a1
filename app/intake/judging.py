"""Uploads are judged in a process of its own (``judge``): this side asks it, and says what became of it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

import app
from app.errors import InternalError, InvalidDataset, InvalidModel, NoRoom, Unavailable
from app.intake.judge import INDEX
from app.intake.weights import Weights
from app.settings import Settings
from negmerge.errors import FieldError
from negmerge.formats.families import FAMILIES

log = structlog.get_logger(__name__)

_SECONDS_LEFT = 30
"""How long the clock may go on after the seconds of CPU: for waiting for a disk."""
_LIBRARIES = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""numpy's threads would take a limit of memory with what they never touch."""
_MIB = 2**20


@dataclass(frozen=True)
class JudgedDataset:
    """What an archive holds: samples of each class, ids of images left out, and the file with its index."""

    classes: dict[str, int]
    left_out: list[str]
    index: Path


class Judge:
    """Asks one process for each upload."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def dataset(self, path: Path, leave_out: bool) -> JudgedDataset:
        """Index an archive. Raises InvalidDataset, naming the file at fault; NoRoom and Unavailable for the machine."""
        limits = asdict(self._settings.archive_limits)
        found = self._ask(InvalidDataset, path, what="dataset", limits=limits, leave_out=leave_out)
        return JudgedDataset(found["classes"], found["left_out"], path.with_name(INDEX))

    def model(self, path: Path, config: str | None) -> Weights:
        """Judge a model. Raises InvalidModel; NoRoom and Unavailable for the machine."""
        most = self._settings.max_archive_bytes
        found = self._ask(InvalidModel, path, what="model", config=config, max_bytes=most)
        family = FAMILIES[found["family"]]
        return Weights(Path(found["path"]), found["size"], found["sha256"], found["config"], family)

    def _ask(self, error: type[InvalidDataset | InvalidModel], path: Path, **question: Any) -> dict[str, Any]:
        settings = self._settings
        seconds = settings.check_seconds + path.stat().st_size // _MIB
        question |= {"path": str(path), "memory": settings.check_memory_bytes, "seconds": seconds}
        answer = _answered(question, seconds)
        short_of = answer.get("short_of")
        if short_of == "room":
            raise NoRoom("the part 'file' cannot be unpacked: the machine's disk is full")
        if short_of == "failed":
            raise Unavailable("the upload cannot be read back from the machine's disk: try again")
        if short_of in ("memory", "seconds"):
            limit = {
                "memory": f"{settings.check_memory_bytes} bytes of memory (NEGMERGE_CHECK_MEMORY_BYTES)",
                "seconds": f"{seconds} seconds (NEGMERGE_CHECK_SECONDS, and one for each MiB)",
            }
            raise _wrong(error, f"checking the file takes more than {limit[short_of]}: split it")
        if "wrong" in answer:
            raise _wrong(error, answer["wrong"])
        return answer


def _wrong(error: type[InvalidDataset | InvalidModel], detail: str) -> InvalidDataset | InvalidModel:
    return error(detail, [FieldError("/file", detail)])


def _answered(question: dict[str, Any], seconds: int) -> dict[str, Any]:
    """The process's answer, or what it fell short of where it ended without one."""
    home = str(Path(app.__file__).parent.parent)
    environment = os.environ | _LIBRARIES | {"PYTHONPATH": os.pathsep.join([home, *_python_path()])}
    command = [sys.executable, "-m", "app.intake.judge"]
    text = json.dumps(question)
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=seconds + _SECONDS_LEFT, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"short_of": "seconds"}
    if done.returncode == -signal.SIGXCPU:
        return {"short_of": "seconds"}
    if done.returncode == -signal.SIGKILL or "MemoryError" in done.stderr:  # the kernel's, or the process's own limit
        return {"short_of": "memory"}
    if done.returncode:
        log.error("an upload could not be judged", status=done.returncode, trace=done.stderr[-4000:])
        raise InternalError("the upload could not be judged; the service's log has the cause")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _python_path() -> list[str]:
    return [path for path in [os.environ.get("PYTHONPATH", "")] if path]
