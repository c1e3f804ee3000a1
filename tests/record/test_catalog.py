"""Data sets and models in the record: each tenant's own, page by page, and gone when nobody needs them."""

from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from app.errors import InUse, NotFound
from app.record import catalog
from app.record.catalog import Entry
from app.record.db import Database, now
from app.record.objects import keep, register_key
from app.record.tables import Dataset, Model, StoredObject
from tests.support.records import cancel, make_job

KINDS = pytest.mark.parametrize(("kind", "word"), [(Dataset, "data set"), (Model, "model")], ids=["data set", "model"])


def add(database: Database, kind: type[Entry], entry_id: str, tenant: str = "acme", **more: Any) -> None:
    """A registered entry of the tenant."""
    with database.write() as session:
        columns: dict[str, Any] = {"id": entry_id, "tenant": tenant, "name": entry_id, "created_at": now(session)}
        own: dict[str, Any] = {"family": "timm"} if kind is Model else {"class_names": {}, "templates": []}
        session.add(kind(**columns, **own, **more))


def page(database: Database, kind: type[Entry], cursor: str | None, limit: int) -> tuple[list[str], str | None]:
    """The ids on acme's page, and the next page's cursor."""
    with database.read() as session:
        rows, following = catalog.page(session, kind, "acme", cursor, limit)
        return [row.id for row in rows], following


def delete(database: Database, kind: type[Entry], entry_id: str) -> None:
    with database.write() as session:
        catalog.delete(session, kind, "acme", entry_id)


def is_there(database: Database, kind: type[Entry], entry_id: str) -> bool:
    with database.read() as session:
        return session.get(kind, entry_id) is not None


@KINDS
@pytest.mark.parametrize("lock", [False, True])
def test_a_tenant_gets_its_own(database: Database, kind: type[Entry], word: str, lock: bool) -> None:
    add(database, kind, "x_1")
    add(database, kind, "x_2")
    with database.write() as session:
        assert catalog.get(session, kind, "acme", "x_2", lock=lock).id == "x_2"


@KINDS
@pytest.mark.parametrize("lock", [False, True])
def test_another_tenants_is_not_found(database: Database, kind: type[Entry], word: str, lock: bool) -> None:
    add(database, kind, "x_1", tenant="globex")
    with database.write() as session, pytest.raises(NotFound, match=f"^there is no {word} 'x_1'$"):
        catalog.get(session, kind, "acme", "x_1", lock=lock)


@KINDS
@pytest.mark.parametrize(("lock", "free"), [(False, True), (True, False)], ids=["looked at", "locked"])
def test_only_what_is_locked_waits_for_its_deletion(
    postgres_database: Database, kind: type[Entry], word: str, lock: bool, free: bool
) -> None:
    database = postgres_database
    add(database, kind, "x_1")
    with database.write() as session:
        catalog.get(session, kind, "acme", "x_1", **({"lock": True} if lock else {}))
        with database.write() as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            if free:
                catalog.delete(other, kind, "acme", "x_1")
            else:
                with pytest.raises(OperationalError, match="lock timeout"):
                    catalog.delete(other, kind, "acme", "x_1")
                other.rollback()


@KINDS
def test_two_jobs_may_lock_the_same_at_once(postgres_database: Database, kind: type[Entry], word: str) -> None:
    database = postgres_database
    add(database, kind, "x_1")
    with database.write() as session:
        catalog.get(session, kind, "acme", "x_1", lock=True)
        with database.write() as other:
            other.execute(text("SET LOCAL lock_timeout = '5s'"))
            assert catalog.get(other, kind, "acme", "x_1", lock=True).id == "x_1"


@KINDS
def test_pages_give_each_of_the_tenants_once_and_the_newest_first(
    database: Database, kind: type[Entry], word: str
) -> None:
    for number in range(5):
        add(database, kind, f"x_{number}")
    add(database, kind, "x_9", tenant="globex")
    assert page(database, kind, None, 2) == (["x_4", "x_3"], "x_3")
    assert page(database, kind, "x_3", 2) == (["x_2", "x_1"], "x_1")
    assert page(database, kind, "x_1", 2) == (["x_0"], None)


@KINDS
def test_a_full_last_page_has_no_next(database: Database, kind: type[Entry], word: str) -> None:
    for number in range(2):
        add(database, kind, f"x_{number}")
    assert page(database, kind, None, 2) == (["x_1", "x_0"], None)


@KINDS
@pytest.mark.parametrize(("deleted", "stays"), [("x_1", "x_2"), ("x_2", "x_1")], ids=["the first", "the second"])
def test_what_is_deleted_is_gone_and_nothing_else_is(
    database: Database, kind: type[Entry], word: str, deleted: str, stays: str
) -> None:
    add(database, kind, "x_1")
    add(database, kind, "x_2")
    delete(database, kind, deleted)
    assert [is_there(database, kind, one) for one in (deleted, stays)] == [False, True]


@KINDS
@pytest.mark.parametrize("entry_id", ["x_1", "x_2"], ids=["another tenant's", "nobody's"])
def test_what_is_not_the_tenants_cannot_be_deleted(
    database: Database, kind: type[Entry], word: str, entry_id: str
) -> None:
    add(database, kind, "x_1", tenant="globex")
    with pytest.raises(NotFound, match=f"^there is no {word} '{entry_id}'$"):
        delete(database, kind, entry_id)
    assert is_there(database, kind, "x_1")


@pytest.mark.parametrize(("kind", "entry_id"), [(Dataset, "ds_1"), (Model, "mdl_1")], ids=["data set", "model"])
def test_what_jobs_need_stays_until_they_end_and_three_of_them_are_named(
    database: Database, kind: type[Entry], entry_id: str
) -> None:
    add(database, kind, entry_id)
    job_ids = [make_job(database) for _ in range(4)]
    with pytest.raises(InUse) as caught:
        delete(database, kind, entry_id)
    assert str(caught.value) == (
        f"{entry_id} is needed by {', '.join(job_ids[:3])}: wait until they end, or cancel them"
    )
    for job_id in job_ids:
        cancel(database, job_id)
    delete(database, kind, entry_id)
    assert not is_there(database, kind, entry_id)


def test_another_tenants_jobs_keep_nothing(database: Database) -> None:
    add(database, Dataset, "ds_1")
    make_job(database, tenant="globex")
    delete(database, Dataset, "ds_1")
    assert not is_there(database, Dataset, "ds_1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "columns", "released"),
    [
        (Dataset, {"key": "archive", "index_key": "index"}, {"archive", "index"}),
        (Dataset, {"key": "archive", "listing_key": "index", "hashes_key": "other"}, {"archive", "index", "other"}),
        (Dataset, {"key": "archive"}, {"archive"}),
        (Dataset, {}, set()),
        (Model, {"key": "weights"}, {"weights"}),
    ],
    ids=["a data set", "with what was made of it", "without an index", "a registered one", "a model"],
)
def test_the_objects_of_what_is_deleted_go_to_collection(
    database: Database, kind: type[Entry], columns: dict[str, str], released: set[str]
) -> None:
    keys = {"archive", "index", "weights", "other"}
    with database.write() as session:
        for key in sorted(keys):
            register_key(session, key, "x_1")
        keep(session, sorted(keys))
    add(database, kind, "x_1", **columns)
    delete(database, kind, "x_1")
    with database.read() as session:
        kept = set(session.scalars(select(StoredObject.key).where(StoredObject.kept)))
    assert kept == keys - released


def test_what_is_made_of_a_data_set_is_kept_once_and_only_while_it_is_there(database: Database) -> None:
    add(database, Dataset, "ds_1", key="archive")
    with database.write() as session:
        for key in ("first", "second", "late"):
            register_key(session, key, "ds_1")
        catalog.add_key(session, "ds_1", "hashes_key", "first")
        catalog.add_key(session, "ds_1", "hashes_key", "second")
        catalog.add_key(session, "ds_gone", "hashes_key", "late")
    with database.read() as session:
        assert session.get_one(Dataset, "ds_1").hashes_key == "first"
        objects = {row.key: (row.kept, row.owner) for row in session.scalars(select(StoredObject))}
    assert objects == {"first": (True, "ds_1"), "second": (False, None), "late": (False, None)}
