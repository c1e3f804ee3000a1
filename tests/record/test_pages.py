"""Pages of listings end where one answer is full, and no row is lost between them; on both databases."""

from typing import Any

import pytest

from app.record import catalog, db, jobs, pages
from app.record.db import Database
from app.record.tables import Dataset
from tests.support.records import make_job


def make_dataset(database: Database, number: int, classes: int, tenant: str = "acme") -> None:
    """A data set whose classes take some 20 bytes each."""
    counted: dict[str, Any] = {f"class {n:08}": 1 for n in range(classes)}
    with database.write() as session:
        row = Dataset(id=f"ds_{number:03}", tenant=tenant, name="x", classes=counted, class_names={}, templates=["{}"])
        row.created_at = db.now(session)
        session.add(row)


def listed(database: Database, limit: int = 200) -> list[list[str]]:
    """The ids of all pages."""
    found: list[list[str]] = []
    cursor = None
    while True:
        with database.read() as session:
            rows, cursor = catalog.page(session, Dataset, "acme", cursor, limit)
            found.append([row.id for row in rows])
        if cursor is None:
            return found


def test_a_page_ends_where_one_answer_is_full(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_BYTES", 10_000)
    for number in range(5):
        make_dataset(database, number, classes=200)  # some 4,000 bytes
    assert listed(database) == [["ds_004", "ds_003"], ["ds_002", "ds_001"], ["ds_000"]]


def test_a_row_that_fills_an_answer_alone_has_a_page_of_its_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_BYTES", 10_000)
    for number, classes in enumerate((1, 2000, 1)):
        make_dataset(database, number, classes)
    assert listed(database) == [["ds_002"], ["ds_001"], ["ds_000"]]


def test_small_rows_fill_a_page_up_to_its_limit(database: Database) -> None:
    for number in range(5):
        make_dataset(database, number, classes=1)
    assert listed(database, limit=2) == [["ds_004", "ds_003"], ["ds_002", "ds_001"], ["ds_000"]]


def test_jobs_with_long_specs_have_pages_of_their_own(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_BYTES", 10_000)
    ids = [f"seven/{number}" for number in range(1000)]
    made = [make_job(database, forget={"dataset": "ds_1", "select": {"ids": ids}}) for _ in range(3)]
    found: list[str] = []
    cursor = None
    for _ in made:
        with database.read() as session:
            page = jobs.page(session, "acme", cursor=cursor, limit=200)
            found += [job.id for job in page.jobs]
            cursor = page.next_cursor
            assert len(page.jobs) == 1
    assert (found, cursor) == (made[::-1], None)
