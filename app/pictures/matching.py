"""Looking for a person's pictures in a data set, whose own pictures are hashed when the first one is looked for."""

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from anyio import move_on_after

from app.errors import Invalid, NotUploaded, StillHashing, TooLarge
from app.pictures.archives import Archives
from app.pictures.reader import Reader, TooDear
from app.record import catalog
from app.record.db import Database
from app.record.tables import Dataset
from app.settings import Settings
from negmerge.errors import FieldError
from negmerge.spec.resources import Candidate, Match, Matches

log = structlog.get_logger(__name__)

_WAIT_SECONDS = 20.0
"""How long a request waits for hashes that are being made; clients and proxies give up after 30 or 60."""


class Matcher:
    """Answers what is asked of pictures. Safe to use from several threads."""

    def __init__(self, settings: Settings, database: Database, archives: Archives, reader: Reader) -> None:
        self._settings = settings
        self._database = database
        self._archives = archives
        self._reader = reader
        self._turn = threading.Lock()
        self._hashing: dict[str, Future[str]] = {}
        self._lock = threading.Lock()

    async def hashes(self, row: Dataset) -> str:
        """The key of the data set's hashes, which are made now where there are none.

        Raises NotUploaded, StillHashing where that takes long, and whatever it is that keeps them from being made.
        """
        if row.key is None:
            raise NotUploaded(row.id)
        if row.hashes_key is not None:
            return row.hashes_key
        with move_on_after(_WAIT_SECONDS):
            return await asyncio.shield(asyncio.wrap_future(self._begun(row)))
        raise StillHashing(
            f"the {row.samples} pictures of {row.id} are being looked at for the first time, which may take minutes "
            "and is done once: ask again"
        )

    def match(self, row: Dataset, hashes_key: str, files: list[tuple[str, Path]]) -> Matches:
        """The candidates of each picture, or of each in an archive. Blocking. ``files`` are (client's name, file).

        Raises TooLarge, Invalid.
        """
        hashes = self._archives.object(row, hashes_key, "hashes.npy")
        answer = self._ask(hashes, files)
        numbers = sorted({near["number"] for found in answer["found"] for near in found["near"]})
        ids = self._archives.listing(row).ids(numbers)
        return Matches(matches=[_match(found, ids) for found in answer["found"]])

    def _ask(self, hashes: Path, files: list[tuple[str, Path]]) -> dict[str, Any]:
        question: dict[str, Any] = {
            "hashes": str(hashes),
            "files": [(name, str(path)) for name, path in files],
            "limits": asdict(self._settings.archive_limits),
            "most": self._settings.max_match_files,
        }
        try:
            answer = self._reader.ask("match", **question)
        except TooDear as dear:
            told = f"looking for these pictures takes more than {dear}: send fewer at once, or smaller ones"
            raise TooLarge(told) from None
        if "too_many" in answer:
            raise TooLarge(f"{answer['too_many']} (NEGMERGE_MAX_MATCH_FILES)")
        if "wrong" in answer:
            raise Invalid(answer["wrong"], [FieldError(f"/file/{answer['number']}", answer["wrong"])])
        return answer

    def _begun(self, row: Dataset) -> "Future[str]":
        """The one hashing of the data set that is under way, or went wrong in a way that it would again."""
        with self._lock:
            future = self._hashing.get(row.id)
            if future is None or (future.done() and not isinstance(future.exception(), TooLarge)):
                future = self._hashing[row.id] = Future()
                # a daemon: this process may end meanwhile, and nothing is kept of what is half done
                threading.Thread(target=self._run, args=(future, row.id, row.tenant), daemon=True).start()
            return future

    def _run(self, future: "Future[str]", dataset_id: str, tenant: str) -> None:
        try:
            with self._turn:
                future.set_result(self._hash(dataset_id, tenant))
        except Exception as error:  # noqa: BLE001 - whoever waits raises it
            log.warning("the pictures of a data set could not be hashed", dataset=dataset_id, error=str(error))
            future.set_exception(error)

    def _hash(self, dataset_id: str, tenant: str) -> str:
        with self._database.read() as session:
            row = catalog.get(session, Dataset, tenant, dataset_id)
        if row.hashes_key is not None:  # made since it was asked for
            return row.hashes_key
        try:
            return self._archives.make(row, "hashes", self._settings.hash_seconds, "hashes.npy", "hashes_key")
        except TooDear as dear:
            raise TooLarge(
                f"looking at all pictures of {dataset_id} takes more than {dear} (NEGMERGE_HASH_SECONDS): look for "
                "yours in a part of it, as a data set of its own"
            ) from None


def _match(found: dict[str, Any], ids: dict[int, str]) -> Match:
    near = [Candidate(id=ids[one["number"]], distance=one["distance"], exact=one["exact"]) for one in found["near"]]
    return Match(file=found["file"], candidates=near, problem=found["problem"])
