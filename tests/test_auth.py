"""API keys: who is let in, who is not, and what is kept of a key. On SQLite, whose clock is the one asked."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app import auth
from app.auth import Principal, Scope
from app.errors import Forbidden, NotFound, Unauthorized
from app.record import db
from app.record.db import Database


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = Database(f"sqlite:///{tmp_path}/record.sqlite")
    database.migrate()
    with database.write() as session:
        yield session
    database.dispose()


def refusal(session: Session, authorization: str | None) -> str:
    """The words with which the header is turned away."""
    with pytest.raises(Unauthorized) as caught:
        auth.authenticate(session, authorization)
    return str(caught.value)


def test_a_new_key_lets_its_tenant_in_with_its_scopes(session: Session) -> None:
    row, key = auth.create_key(session, "laptop", "acme", [Scope.READ, Scope.ADMIN])
    expected = Principal(row.id, "acme", frozenset({"read", "admin"}))
    assert auth.authenticate(session, f"Bearer {key}") == expected


def test_a_key_reads_and_writes_for_the_default_tenant_unless_more_is_said(session: Session) -> None:
    row, _ = auth.create_key(session, "laptop")
    assert (row.name, row.tenant, row.scopes) == ("laptop", "default", ["read", "write"])
    assert (row.expires_at, row.revoked_at) == (None, None)


def test_a_key_is_its_id_and_a_secret_of_256_bits_of_which_only_the_hash_is_kept(session: Session) -> None:
    row, key = auth.create_key(session, "laptop")
    beginning, key_id, secret = key.split("_")
    assert (beginning, f"key_{key_id}", len(bytes.fromhex(secret))) == ("nm", row.id, 32)
    assert row.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()


def test_a_keys_scopes_are_kept_in_order(session: Session) -> None:
    assert auth.create_key(session, "laptop", scopes={Scope.WRITE, Scope.ADMIN, Scope.READ})[0].scopes == [
        "admin",
        "read",
        "write",
    ]


def test_a_keys_beginning_is_the_databases_now(session: Session) -> None:
    before = db.now(session)
    row, _ = auth.create_key(session, "laptop")
    assert before <= row.created_at <= db.now(session)


@pytest.mark.parametrize("header", ["bearer {}", "BEARER {}", "Bearer   {} "])
def test_the_scheme_is_read_in_any_case_and_spaces_do_not_matter(session: Session, header: str) -> None:
    _, key = auth.create_key(session, "laptop", "acme")
    assert auth.authenticate(session, header.format(key)).tenant == "acme"


def test_without_a_header_it_is_said_which_one_to_send(session: Session) -> None:
    assert refusal(session, None) == "send the header 'Authorization: Bearer KEY'"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer nm_1", "Bearer x{}", "Bearer {}-", "Basic {}", "{}"]
)
def test_what_is_no_key_of_this_service_is_told_so(session: Session, header: str) -> None:
    _, key = auth.create_key(session, "laptop")
    assert refusal(session, header.format(key)) == (
        "the Authorization header must be 'Bearer nm_…': a key of this service"
    )


def test_neither_a_wrong_secret_nor_a_wrong_id_is_told_apart(session: Session) -> None:
    _, key = auth.create_key(session, "laptop")
    _, key_id, secret = key.split("_")
    wrong = [f"nm_{key_id}_{'0' * 64}", f"nm_{key_id[:-1]}z_{secret}"]
    assert [refusal(session, f"Bearer {one}") for one in wrong] == ["the API key is not known here"] * 2


def test_the_secret_of_another_key_does_not_fit(session: Session) -> None:
    (_, one), (_, other) = auth.create_key(session, "one"), auth.create_key(session, "other")
    mixed = "_".join([*one.split("_")[:2], other.split("_")[2]])
    assert refusal(session, f"Bearer {mixed}") == "the API key is not known here"


@pytest.mark.parametrize(("seconds", "known"), [(60, True), (-60, False)])
def test_a_key_lets_in_until_its_end(session: Session, seconds: float, known: bool) -> None:
    end = db.now(session) + timedelta(seconds=seconds)
    row, key = auth.create_key(session, "laptop", expires_at=end)
    if known:
        assert auth.authenticate(session, f"Bearer {key}").key_id == row.id
    else:
        told = f"the API key {row.id} has been revoked or has expired: ask for a new one"
        assert refusal(session, f"Bearer {key}") == told


def test_at_its_end_a_key_lets_nobody_in(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    end = db.now(session) + timedelta(seconds=60)
    _, key = auth.create_key(session, "laptop", expires_at=end)
    monkeypatch.setattr(db, "now", lambda _: end)
    assert "has been revoked or has expired" in refusal(session, f"Bearer {key}")


def test_a_revoked_key_lets_nobody_in_though_its_end_is_far(session: Session) -> None:
    row, key = auth.create_key(session, "laptop", expires_at=db.now(session) + timedelta(days=1))
    auth.revoke_key(session, row.id)
    assert "has been revoked or has expired" in refusal(session, f"Bearer {key}")


def test_a_key_that_is_revoked_again_keeps_the_first_moment(session: Session) -> None:
    row, _ = auth.create_key(session, "laptop")
    row.revoked_at = first = db.now(session) - timedelta(hours=1)
    auth.revoke_key(session, row.id)
    assert row.revoked_at == first


def test_revoking_is_written_down_with_the_databases_now(session: Session) -> None:
    row, _ = auth.create_key(session, "laptop")
    before = db.now(session)
    auth.revoke_key(session, row.id)
    assert row.revoked_at is not None
    assert before <= row.revoked_at <= db.now(session)


def test_a_key_that_is_not_there_cannot_be_revoked(session: Session) -> None:
    with pytest.raises(NotFound, match="there is no API key 'key_x'"):
        auth.revoke_key(session, "key_x")


def test_all_keys_are_listed_oldest_first_the_revoked_ones_too(session: Session) -> None:
    for key_id in ("key_2", "key_3", "key_1"):  # an id begins with the time of its making
        auth.create_key(session, "laptop")[0].id = key_id
        session.flush()
    auth.revoke_key(session, "key_2")
    assert [row.id for row in auth.list_keys(session)] == ["key_1", "key_2", "key_3"]


@pytest.mark.parametrize("scopes", [{"write"}, {"admin"}, {"read", "write"}])
def test_who_has_the_scope_or_may_do_all_goes_on(scopes: set[str]) -> None:
    Principal("key_1", "acme", frozenset(scopes)).require(Scope.WRITE)


@pytest.mark.parametrize("scopes", [set(), {"read"}])
def test_who_lacks_the_scope_is_told_which(scopes: set[str]) -> None:
    with pytest.raises(Forbidden) as caught:
        Principal("key_1", "acme", frozenset(scopes)).require(Scope.WRITE)
    assert str(caught.value) == "the key key_1 has no scope 'write': ask for one that has"


def test_a_key_lets_in_until_it_is_revoked(session: Session) -> None:
    row, _ = auth.create_key(session, "laptop")
    assert auth.lets_in(session, row.id)
    auth.revoke_key(session, row.id)
    assert not auth.lets_in(session, row.id)


@pytest.mark.parametrize(("seconds", "still"), [(60, True), (-60, False), (0, False)])
def test_a_key_lets_in_until_it_expires(session: Session, seconds: int, still: bool) -> None:
    row, _ = auth.create_key(session, "laptop", expires_at=db.now(session) + timedelta(seconds=seconds))
    assert auth.lets_in(session, row.id) is still


def test_a_key_that_is_not_known_lets_in_nobody(session: Session) -> None:
    assert not auth.lets_in(session, "key_0")
