"""The cookie of a session. With https its name begins with ``__Host-``: browsers then take it from this host alone."""

from starlette.requests import Request
from starlette.responses import Response

NAME = "negmerge_session"
_SECURE_NAME = f"__Host-{NAME}"
_LONGEST = 100


def secret_of(request: Request) -> str | None:
    """What the browser's cookie holds; None where there is none that could be ours."""
    secret = request.cookies.get(_SECURE_NAME) or request.cookies.get(NAME)
    return secret if secret and len(secret) <= _LONGEST else None


def set_secret(request: Request, response: Response, secret: str, seconds: float) -> None:
    """Let the browser keep the secret: unseen by scripts, sent to this site alone and never from another one."""
    secure = is_encrypted(request)
    response.set_cookie(
        _SECURE_NAME if secure else NAME,
        secret,
        max_age=int(seconds),
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def forget_secret(response: Response) -> None:
    """Let the browser forget it, under either name."""
    response.delete_cookie(NAME, path="/", httponly=True, samesite="strict")
    response.delete_cookie(_SECURE_NAME, path="/", secure=True, httponly=True, samesite="strict")


def is_encrypted(request: Request) -> bool:
    """Whether the browser came by https, as this server saw it, or as the browser says of its own form."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
