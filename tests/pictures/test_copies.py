"""Copies on this machine's disk: made once, kept while there is room and while their data set is there."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.errors import NotFound
from app.pictures.copies import Copies
from app.record import db
from app.record.db import Database
from app.record.tables import Dataset


def add(database: Database, *ids: str) -> None:
    with database.write() as session:
        for one in ids:
            row = Dataset(id=one, tenant="acme", name=one, class_names={}, templates=[], created_at=db.now(session))
            session.add(row)


def written(size: int, times: list[int] | None = None) -> "Writer":
    return Writer(size, [] if times is None else times)


class Writer:
    """Writes so many bytes, and counts how often."""

    def __init__(self, size: int, times: list[int]) -> None:
        self.size, self.times = size, times

    def __call__(self, path: Path) -> None:
        self.times.append(self.size)
        time.sleep(0.01)
        path.write_bytes(b"x" * self.size)


def kept(folder: Path) -> set[str]:
    return {path.relative_to(folder / "kept").as_posix() for path in folder.glob("kept/*/*")}


def test_a_copy_is_made_once_however_many_wait_for_it(sqlite_database: Database, tmp_path: Path) -> None:
    add(sqlite_database, "ds_1")
    copies = Copies(tmp_path / "c", sqlite_database, 100)
    make = written(10)
    start = threading.Barrier(6)

    def ask() -> Path:
        start.wait()
        return copies.get("ds_1", "listing", make)

    with ThreadPoolExecutor(6) as pool:
        paths = {future.result() for future in [pool.submit(ask) for _ in range(6)]}

    assert (make.times, paths) == ([10], {tmp_path / "c/kept/ds_1/listing"})


def test_the_longest_unused_go_when_there_is_no_room(sqlite_database: Database, tmp_path: Path) -> None:
    add(sqlite_database, "ds_1", "ds_2", "ds_3")
    copies = Copies(tmp_path, sqlite_database, 25)
    for one in ("ds_1", "ds_2", "ds_1", "ds_3"):
        copies.get(one, "listing", written(10))
        time.sleep(0.01)
    assert kept(tmp_path) == {"ds_1/listing", "ds_3/listing"}


def test_one_that_is_larger_than_the_room_is_kept_while_it_is_the_latest(
    sqlite_database: Database, tmp_path: Path
) -> None:
    add(sqlite_database, "ds_1", "ds_2")
    copies = Copies(tmp_path, sqlite_database, 5)
    assert copies.get("ds_1", "a", written(10)).stat().st_size == 10
    copies.get("ds_2", "a", written(1))
    assert kept(tmp_path) == {"ds_2/a"}


def test_what_belongs_to_a_deleted_data_set_goes(sqlite_database: Database, tmp_path: Path) -> None:
    add(sqlite_database, "ds_1", "ds_2")
    copies = Copies(tmp_path, sqlite_database, 100)
    for one in ("ds_1", "ds_2"):
        copies.get(one, "a", written(1))
    with sqlite_database.write() as session:
        session.delete(session.get_one(Dataset, "ds_1"))
    copies.tidy()
    assert kept(tmp_path) == {"ds_2/a"}


def test_a_data_set_that_is_deleted_while_its_copy_is_made_leaves_none(
    sqlite_database: Database, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="'ds_1' was deleted"):
        Copies(tmp_path, sqlite_database, 100).get("ds_1", "a", written(1))
    assert kept(tmp_path) == set()


def test_a_copy_that_cannot_be_made_leaves_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    add(sqlite_database, "ds_1")

    def half(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("the disk is away")

    with pytest.raises(OSError, match="away"):
        Copies(tmp_path, sqlite_database, 100).get("ds_1", "a", half)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "sqlite" not in path.name] == []
