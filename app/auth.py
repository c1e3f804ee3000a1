"""API keys: ``nm_<id>_<secret>``, kept as SHA-256, with a tenant, scopes and an end.

The secret is 256 random bits, so a plain hash is enough: there is nothing to guess.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Forbidden, NotFound, Unauthorized
from app.record import db, ids, tables

DEFAULT_TENANT = "default"
_KEY = re.compile(r"nm_([0-9A-Za-z]{1,36})_([0-9A-Za-z]{16,128})")


class Scope(StrEnum):
    """What a key may do. ``images``: see what its tenant's pictures show; ``admin``: all."""

    READ = "read"
    WRITE = "write"
    IMAGES = "images"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """Who is asking: the key, its tenant and its scopes."""

    key_id: str
    tenant: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether the key has the scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the key has the scope."""
        if not self.may(scope):
            raise Forbidden(f"the key {self.key_id} has no scope {scope.value!r}: ask for one that has")


def create_key(
    session: Session,
    name: str,
    tenant: str = DEFAULT_TENANT,
    scopes: Collection[Scope] = (Scope.READ, Scope.WRITE),
    expires_at: datetime | None = None,
    key_id: str | None = None,
) -> tuple[tables.ApiKey, str]:
    """A new key's row, and the key itself, which is never to be seen again. key_id: one that nobody has; else made."""
    key_id, secret = key_id or ids.new_id("key"), secrets.token_hex(32)
    row = tables.ApiKey(
        id=key_id,
        tenant=tenant,
        name=name,
        secret_sha256=_sha256(secret),
        scopes=sorted(scope.value for scope in scopes),
        created_at=db.now(session),
        expires_at=expires_at,
        revoked_at=None,
    )
    session.add(row)
    return row, f"nm_{key_id.removeprefix('key_')}_{secret}"


def authenticate(session: Session, authorization: str | None) -> Principal:
    """Whoever the ``Authorization`` header names. Raises Unauthorized without telling which part is wrong."""
    if authorization is None:
        raise Unauthorized("send the header 'Authorization: Bearer KEY'")
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not _KEY.fullmatch(key.strip()):
        raise Unauthorized("the Authorization header must be 'Bearer nm_…': a key of this service")
    return holder(session, key)


def holder(session: Session, key: str) -> Principal:
    """Whoever holds the key. Raises Unauthorized without telling which part is wrong."""
    match = _KEY.fullmatch(key.strip())
    if match is None:
        raise Unauthorized("this is no API key: one begins with nm_ and has three parts")
    row = session.get(tables.ApiKey, f"key_{match[1]}")
    expected = row.secret_sha256 if row is not None else _sha256("")
    known = hmac.compare_digest(expected, _sha256(match[2])) and row is not None
    if not known or row is None:
        raise Unauthorized("the API key is not known here")
    if not _is_valid(session, row):
        raise Unauthorized(f"the API key {row.id} has been revoked or has expired: ask for a new one")
    return _principal(row)


def holder_of(session: Session, key_id: str) -> Principal | None:
    """Whoever the key of this id still lets in."""
    row = session.get(tables.ApiKey, key_id)
    return _principal(row) if row is not None and _is_valid(session, row) else None


def lets_in(session: Session, key_id: str) -> bool:
    """Whether the key still lets anybody in."""
    return holder_of(session, key_id) is not None


def list_keys(session: Session) -> list[tables.ApiKey]:
    """All keys, oldest first, with those that let nobody in any more."""
    return list(session.scalars(select(tables.ApiKey).order_by(tables.ApiKey.id)))


def revoke_key(session: Session, key_id: str) -> None:
    """Let the key in no more. Raises NotFound."""
    row = session.get(tables.ApiKey, key_id)
    if row is None:
        raise NotFound(f"there is no API key {key_id!r}")
    row.revoked_at = row.revoked_at or db.now(session)


def _principal(row: tables.ApiKey) -> Principal:
    return Principal(row.id, row.tenant, frozenset(row.scopes))


def _is_valid(session: Session, row: tables.ApiKey) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > db.now(session))


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
