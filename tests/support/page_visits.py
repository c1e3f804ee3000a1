"""Who comes to the page with a browser that runs no scripts: signing in, and what every form of theirs holds."""

import re

from fastapi.testclient import TestClient
from httpx2 import Response

from app.auth import Scope
from tests.support.api_client import Api

ORIGIN = "http://testserver"
HERE = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}
"""What a browser says of a form that is sent from the page itself."""


def key_of(api: Api, tenant: str = "acme", scopes: tuple[Scope, ...] = (Scope.READ, Scope.WRITE)) -> str:
    return api.key(tenant, scopes)["Authorization"].removeprefix("Bearer ")


def enter(client: TestClient, key: str, place: str = "/", headers: dict[str, str] | None = None) -> Response:
    data = {"key": key, "next": place}
    return client.post("/sign-in", data=data, headers=headers or HERE, follow_redirects=False)


def token_of(client: TestClient) -> str:
    [token] = set(re.findall(r'name="token" value="([0-9a-f]+)"', client.get("/").text))
    return str(token)
