"""What the service's commands do with a log that cannot be written."""

import errno
import io

import pytest
import structlog

from app.commands import Unfailing, _say


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_on_a_full_disk_loses_lines_and_no_answer() -> None:
    logger = structlog.PrintLogger(Unfailing(Full()))  # type: ignore[arg-type]
    logger.error("a disk is full")


def test_what_can_be_written_is() -> None:
    stream = io.StringIO()
    structlog.PrintLogger(Unfailing(stream)).error("a line")  # type: ignore[arg-type]
    assert stream.getvalue() == "a line\n"


def test_up_goes_on_where_its_own_output_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Full())
    _say("a worker ended")
