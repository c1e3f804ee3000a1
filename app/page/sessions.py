"""Who is signed in: a random secret in a cookie, of which the record keeps the SHA-256, and the key behind it.

What a person may do is asked of the key at each request, so a key that is revoked or has expired ends its sessions.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import auth
from app.auth import Principal
from app.record import db
from app.record.tables import PageSession

MAX_SESSIONS = 50
"""Sessions that one key may have side by side; a further one ends the oldest."""


@dataclass(frozen=True)
class Opened:
    """A new session: what the cookie holds, and for whom."""

    secret: str
    principal: Principal


def open_session(session: Session, key: str, seconds: float) -> Opened:
    """Sign in with an API key, for so many seconds. Raises Unauthorized.

    Sessions that are over are forgotten, of everybody.
    """
    principal = auth.holder(session, key)
    now = db.now(session)
    session.execute(delete(PageSession).where(PageSession.expires_at <= now))
    held = select(PageSession.secret_sha256).where(PageSession.key_id == principal.key_id)
    newest_first = held.order_by(PageSession.created_at.desc(), PageSession.secret_sha256)
    too_many = list(session.scalars(newest_first.offset(MAX_SESSIONS - 1)))
    session.execute(delete(PageSession).where(PageSession.secret_sha256.in_(too_many)))
    secret = secrets.token_urlsafe(32)
    session.add(
        PageSession(
            secret_sha256=_sha256(secret),
            key_id=principal.key_id,
            created_at=now,
            expires_at=now + timedelta(seconds=seconds),
        )
    )
    return Opened(secret, principal)


def holder(session: Session, secret: str) -> Principal | None:
    """Who signed in with this secret; None where the session or its key lets nobody in any more."""
    row = session.get(PageSession, _sha256(secret))
    if row is None or row.expires_at <= db.now(session):
        return None
    return auth.holder_of(session, row.key_id)


def close_session(session: Session, secret: str) -> None:
    """Sign out. A session that is over already stays so."""
    session.execute(delete(PageSession).where(PageSession.secret_sha256 == _sha256(secret)))


def form_token(secret: str) -> str:
    """What every form of the session carries, and no other site can know: made of the secret, and not leading back."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
