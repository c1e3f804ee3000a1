"""The artifact store, in a folder and on S3, and the garbage collection of what nobody needs."""

import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest

from app.record import jobs, reopening, steps
from app.record.db import Database
from app.record.objects import keep, register_key, release
from app.record.tables import StoredObject
from app.store.garbage import collect
from app.store.objects import CHUNK, ObjectMissing, Store, StoreUnavailable, put_for
from negmerge.progress import OnStep, ignore
from tests.support import stored
from tests.support.records import claim, make_finished_job, make_job, make_tuning_job, make_worker, register, train
from tests.support.servers import free_port

GRACE = 60.0


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return Store.open(f"file://{tmp_path}/a%20store")


def test_bytes_come_back_as_they_were_put(store: Store) -> None:
    stored.put(store, "a/b", b"hello")
    assert store.read("a/b") == b"hello"
    assert store.head("a/b") == 5


def test_an_empty_object_is_an_object(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    store.put_file("empty", tmp_path / "empty")
    assert (store.head("empty"), store.read("empty"), b"".join(store.stream("empty"))) == (0, b"", b"")


@pytest.mark.slow
def test_a_file_of_many_parts_comes_back_whole(store: Store, tmp_path: Path) -> None:
    content = os.urandom(2 * CHUNK + 12_345)
    (tmp_path / "there").write_bytes(content)
    store.put_file("big", tmp_path / "there")
    assert b"".join(store.stream("big")) == content


def test_a_put_can_be_stopped_between_its_parts_and_leaves_no_object(store: Store, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(bytes(4 * CHUNK))

    def stop_after_the_first(step: int, total: int, loss: float | None) -> None:
        assert total == 4 * CHUNK
        if step >= CHUNK:
            raise InterruptedError

    with pytest.raises(StoreUnavailable):
        store.put_file("big", tmp_path / "there", stop_after_the_first)
    with pytest.raises(ObjectMissing):
        store.head("big")


@pytest.mark.parametrize(("start", "end"), [(0, 1), (3, 7), (9, 10), (4, None), (0, None), (5, 5)])
def test_a_range_is_what_a_slice_would_be(store: Store, start: int, end: int | None) -> None:
    stored.put(store, "digits", b"0123456789")
    assert b"".join(store.stream("digits", start, end)) == b"0123456789"[start:end]


def test_a_missing_object_is_named_at_once(store: Store) -> None:
    for look in (store.read, store.head, store.stream):
        with pytest.raises(ObjectMissing, match="no/such"):
            look("no/such")


def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    stored.put(store, "a", b"1")
    store.delete(["a", "b"])
    with pytest.raises(ObjectMissing):
        store.head("a")


def test_a_store_that_answers_passes_its_check(store: Store) -> None:
    store.check()


def test_folders_disappear_with_their_last_object(folder_store: Store, tmp_path: Path) -> None:
    stored.put(folder_store, "jobs/1/token/file", b"1")
    folder_store.delete(["jobs/1/token/file"])
    assert list((tmp_path / "a store").rglob("*")) == []


def test_what_a_killed_put_left_behind_goes_with_its_key(folder_store: Store, tmp_path: Path) -> None:
    left = tmp_path / "a store" / "jobs" / "1" / "weights#1"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    folder_store.delete(["jobs/1/weights"])
    assert list((tmp_path / "a store").rglob("*")) == []


def test_an_interrupted_put_names_its_leftover_as_we_expect(folder_store: Store, tmp_path: Path) -> None:
    """obstore's own naming, which ``delete`` relies on, seen while a put is under way."""
    seen: list[str] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            seen.extend(path.name for path in (tmp_path / "a store").rglob("weights*"))
            return super().read(size)

    obstore.put(folder_store._objects, "jobs/1/weights", Watched(b"x" * 40_000_000))
    assert set(seen) - {"weights"} == {"weights#1"}


def test_a_key_never_leaves_the_folder(folder_store: Store, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="path"):
        stored.put(folder_store, "../outside", b"1")
    assert not (tmp_path / "outside").exists()


@pytest.mark.slow
def test_an_s3_server_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    store = Store.open(f"s3://bucket?endpoint=http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable) as failed:
        store.check()
    assert "hush" not in str(failed.value)


@pytest.mark.parametrize("url", ["/srv/store", "http://there/hush", "s3://bucket?secret=hush", "file://host/x"])
def test_a_url_that_is_no_store_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        Store.open(url)
    assert "hush" not in str(refused.value)


# Garbage collection


def known_keys(database: Database) -> set[str]:
    with database.read() as session:
        return {row.key for row in session.query(StoredObject)}


def put(database: Database, store: Store, key: str, owner: str, job_id: str | None = None) -> None:
    with database.write() as session:
        register_key(session, key, owner, job_id)
    stored.put(store, key, b"1")


def test_what_a_running_step_has_put_stays(database: Database, folder_store: Store) -> None:
    make_job(database)
    held = claim(database, make_worker())
    put(database, folder_store, "k", held.token, held.job_id)
    assert collect(database, folder_store, GRACE) == 0
    assert folder_store.head("k") == 1


def test_what_a_step_has_put_goes_with_its_lease(database: Database, folder_store: Store) -> None:
    make_job(database)
    held = claim(database, make_worker(), lease=0.05)
    put(database, folder_store, "k", held.token, held.job_id)
    time.sleep(0.1)
    assert collect(database, folder_store, GRACE) == 1
    assert known_keys(database) == set()
    with pytest.raises(ObjectMissing):
        folder_store.head("k")


@pytest.mark.slow
def test_what_a_flush_is_about_to_keep_stays_though_its_lease_ends_before_the_commit(
    database: Database, folder_store: Store
) -> None:
    make_tuning_job(database, points=1)
    held = claim(database, make_worker(), lease=0.5)
    train(database, held)
    put(database, folder_store, "partial", held.token, held.job_id)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            assert steps.flush(session, [held], "p", "partial", [0]) is steps.FlushOutcome.COMMITTED
            time.sleep(0.6)
            collecting = pool.submit(collect, database, folder_store, GRACE)
            time.sleep(0.2)
        assert collecting.result() == 0
    assert folder_store.head("partial") == 1


def test_a_key_whose_put_never_came_is_collected(database: Database, folder_store: Store) -> None:
    make_job(database)
    held = claim(database, make_worker())
    with database.write() as session:
        register(session, held, "never put")
        reopening.give_back(session, [held])
    assert collect(database, folder_store, GRACE) == 1


def test_an_upload_has_its_time(database: Database, folder_store: Store) -> None:
    put(database, folder_store, "datasets/1", "ds_1")
    assert collect(database, folder_store, GRACE) == 0
    time.sleep(0.05)
    assert collect(database, folder_store, 0.02) == 1


def test_a_kept_upload_stays_until_it_is_released(database: Database, folder_store: Store) -> None:
    put(database, folder_store, "datasets/1", "ds_1")
    with database.write() as session:
        keep(session, ["datasets/1"])
    time.sleep(0.05)
    assert collect(database, folder_store, 0.02) == 0
    with database.write() as session:
        release(session, ["datasets/1"])
    assert collect(database, folder_store, GRACE) == 1


def test_prepared_data_stay_while_the_job_needs_them(database: Database, folder_store: Store) -> None:
    job_id = make_tuning_job(database)
    assert collect(database, folder_store, GRACE) == 0
    with database.write() as session:
        jobs.request_cancel(session, "acme", job_id)
    assert collect(database, folder_store, GRACE) == 1


@pytest.mark.slow
def test_a_finished_job_keeps_its_artifacts_until_it_is_deleted(database: Database, folder_store: Store) -> None:
    job_id = make_finished_job(database)
    collect(database, folder_store, GRACE)
    assert {key.rsplit("/", 1)[1] for key in known_keys(database)} == {"result.json"}
    with database.write() as session:
        jobs.delete_job(session, "acme", job_id)
    collect(database, folder_store, GRACE)
    assert known_keys(database) == set()


def test_a_file_that_was_put_too_late_does_not_stay(database: Database, folder_store: Store, tmp_path: Path) -> None:
    """The owner sleeps between recording the key and the end of the put; the key is collected meanwhile."""
    make_job(database)
    held = claim(database, make_worker(), lease=0.05)
    source = tmp_path / "source"
    source.write_bytes(b"late")

    class Sleeper(Store):
        def put_file(self, key: str, path: Path, on_step: OnStep = ignore) -> None:
            time.sleep(0.1)
            assert collect(database, folder_store, GRACE) == 1
            super().put_file(key, path, on_step)

    sleeper = Sleeper.open(f"file://{tmp_path}/a%20store")
    with pytest.raises(ObjectMissing, match="collected"):
        put_for(database, sleeper, "k", source, held.token, held.job_id)
    with pytest.raises(ObjectMissing):
        folder_store.head("k")
