"""What was made of a data set: the first that is kept counts, and what is kept belongs to the data set."""

import pytest

from app.errors import InternalError
from app.record import decoded
from app.record.db import Database
from app.record.leases import Claim, LostClaim
from app.record.objects import register_key, release_job
from app.record.tables import StoredObject
from tests.support import records

NAME, FIRST, SECOND = "a" * 32, "1" * 64, "2" * 64


def put(database: Database, held: Claim, sha256: str, dataset_id: str = "ds_1") -> str:
    """The key of an object that the claim's worker has put."""
    key = decoded.key_of(dataset_id, held.token, NAME, sha256)
    with database.write() as session:
        register_key(session, key, held.token, held.job_id)
    return key


def keep(database: Database, held: Claim, key: str) -> str:
    with database.write() as session:
        return decoded.keep(session, held, "ds_1", key)


def claims(database: Database) -> tuple[Claim, Claim]:
    """Two workers that prepare two jobs."""
    for _ in range(2):
        records.make_job(database)
    return records.claim(database, records.make_worker()), records.claim(database, records.make_worker())


def test_what_is_kept_is_found_by_its_name(database: Database) -> None:
    held, _ = claims(database)
    key = keep(database, held, put(database, held, FIRST))
    with database.read() as session:
        assert decoded.find(session, "ds_1", NAME) == key
        assert decoded.find(session, "ds_1", "b" * 32) is None
        assert decoded.find(session, "ds_2", NAME) is None


def test_of_two_workers_that_make_the_same_the_first_counts(database: Database) -> None:
    one, other = claims(database)
    first, second = put(database, one, FIRST), put(database, other, SECOND)
    assert [keep(database, one, first), keep(database, other, second)] == [first, first]
    with database.read() as session:
        late = session.get_one(StoredObject, second)
    assert (late.kept, late.owner) == (False, None)  # for garbage collection


def test_it_outlives_the_job_that_made_it(database: Database) -> None:
    held, _ = claims(database)
    key = keep(database, held, put(database, held, FIRST))
    with database.write() as session:
        release_job(session, held.job_id)
    with database.read() as session:
        assert decoded.keys(session, ["ds_1"]) == {key}


def test_a_claim_that_is_lost_keeps_nothing(database: Database) -> None:
    records.make_job(database)
    held = records.claim(database, records.make_worker(), records.SHORT)
    key = put(database, held, FIRST)
    records.let_the_lease_end()
    with pytest.raises(LostClaim):
        keep(database, held, key)


def test_a_key_that_nobody_registered_is_not_kept(database: Database) -> None:
    held, _ = claims(database)
    with pytest.raises(InternalError, match="is not recorded"):
        keep(database, held, decoded.key_of("ds_1", held.token, NAME, FIRST))
