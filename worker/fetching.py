"""Stored objects as files, one after the other: threads fetch the next ones while one is worked on."""

import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from negmerge.errors import Interrupted
from negmerge.progress import OnStep
from worker.context import WorkerContext

AHEAD = 3
"""Objects that are fetched or wait as files at the same time: what bounds the room on the disk."""


def fetched(context: WorkerContext, keys: Sequence[str], on_step: OnStep) -> Generator[Path, None, None]:
    """A file for each key, in order; it is gone when the next one is asked for. Close it where you do not use all.

    ``on_step`` counts objects that were used; it is called in other threads too, and may stop all of it. Raises
    ObjectMissing.
    """
    used, over = 0, threading.Event()

    def go_on(_step: int, _total: int, _loss: float | None) -> None:
        if over.is_set():
            raise Interrupted("the others are not wanted any more")
        on_step(used, len(keys), None)

    with context.scratch.folder() as folder, ThreadPoolExecutor(AHEAD, "fetch") as pool:

        def fetch(place: int) -> Path:
            path = folder / str(place)
            context.download(keys[place], path, go_on)
            return path

        left = iter(range(len(keys)))
        waiting: deque[Future[Path]] = deque(pool.submit(fetch, place) for place in islice(left, AHEAD))
        try:
            while waiting:
                path = waiting.popleft().result()
                yield path
                path.unlink()
                used += 1
                on_step(used, len(keys), None)
                waiting.extend(pool.submit(fetch, place) for place in islice(left, 1))
        finally:
            over.set()
            for one in waiting:
                one.cancel()
