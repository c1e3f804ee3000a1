"""Several worker processes on one device, and the process that starts them, again where one dies, and ends with them.

They know nothing of each other: each claims from the record as on a machine of its own, and all have the same
arithmetic, so the result's bits are the same.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType

import structlog

from app.embedded.children import Child
from app.embedded.sharing import Sharing
from app.settings import Settings
from worker import logs

log = structlog.get_logger(__name__)

_PAUSE = 0.2
_FOR_EVER = 86_400.0
"""Seconds that children get to end in: whoever stops this process has a limit of its own, and kills all of them."""


def work_together(settings: Settings) -> int:
    """Run ``workers_per_device`` workers until TERM or INT; returns the exit status."""
    logs.configure("supervisor")
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    sharing = Sharing(settings.workers_per_device, settings.device)
    children = [_started(number, os.environ) for number in range(1, sharing.first + 1)]
    while not asked:
        for child in children:
            status = child.buried()
            if status is not None:
                log.warning("a worker ended; another takes its place", worker=child.name, status=status)
            child.start_if_due()
        if sharing.another(len(children), time.monotonic()):
            children.append(_started(len(children) + 1, os.environ))
            log.info("the device has room for another worker", workers=len(children))
        time.sleep(_PAUSE)
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.stop(_FOR_EVER)
    return 0


def _started(number: int, environment: Mapping[str, str]) -> Child:
    command = [sys.executable, "-m", "worker"]
    child = Child(f"worker-{number}", command, {**environment, "NEGMERGE_WORKERS_PER_DEVICE": "1"})
    child.start()
    return child
