"""Questions before what cannot be undone, as pages for whoever runs no scripts; and forms that are sent twice."""

import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.auth import Scope
from app.record.tables import ApiKey
from tests.support import records
from tests.support.api_client import Api
from tests.support.page_visits import HERE, enter, key_of, token_of

ALL = (Scope.READ, Scope.WRITE, Scope.ADMIN)


@pytest.fixture
def client(api: Api) -> TestClient:
    """An administrator of tenant acme, whose browser runs no scripts."""
    api.client.cookies.clear()
    enter(api.client, key_of(api, scopes=ALL))
    return api.client


WHAT: dict[str, tuple[str, Callable[[Api], str]]] = {
    "job": ("cancel", lambda api: f"/jobs/{records.make_job(api.database, queue='elsewhere')}"),
    "data set": ("delete", lambda api: f"/datasets/{api.dataset()}"),
    "model": ("delete", lambda api: f"/models/{api.model()}"),
    "key": ("revoke", lambda api: f"/admin/keys/key_{key_of(api).split('_')[1]}"),
}


def shown_at(address: str) -> str:
    return "/admin" if address.startswith("/admin") else address


@pytest.mark.parametrize("what", WHAT)
def test_a_button_leads_to_a_question_whose_yes_does_it(client: TestClient, api: Api, what: str) -> None:
    act, make = WHAT[what]
    address = make(api)
    assert f'<form method="get" action="{address}/{act}">' in client.get(shown_at(address)).text
    question = client.get(f"{address}/{act}").text
    assert f'<form method="post" action="{address}/{act}"' in question
    data = {"token": token_of(client)}
    answer = client.post(f"{address}/{act}", data=data, headers=HERE, follow_redirects=False)
    assert answer.status_code == 303


@pytest.mark.parametrize("what", WHAT)
def test_nobody_is_asked_about_another_tenants(client: TestClient, api: Api, what: str) -> None:
    act, make = WHAT[what]
    address = make(api)
    enter(client, key_of(api, "rival", ALL))
    assert client.get(f"{address}/{act}").status_code == 404


@pytest.mark.parametrize("what", WHAT)
def test_nobody_is_asked_who_may_not(client: TestClient, api: Api, what: str) -> None:
    act, make = WHAT[what]
    address = make(api)
    enter(client, key_of(api, scopes=(Scope.READ,)))
    assert client.get(f"{address}/{act}").status_code == 403


def test_a_form_for_a_key_that_is_sent_twice_makes_one(client: TestClient, api: Api) -> None:
    [once] = re.findall(r'name="once" value="(\w+)"', client.get("/admin").text)
    data = {"token": token_of(client), "once": once, "name": "Nightly", "scope.read": "on"}
    first, second = (client.post("/admin/keys", data=data, headers=HERE).text for _ in range(2))
    assert "The key was made" in first
    assert "This form was sent before" in second
    assert 'id="key"' not in second
    with api.database.read() as session:
        assert len(list(session.scalars(select(ApiKey).where(ApiKey.name == "Nightly")))) == 1


@pytest.mark.parametrize("once", ["", "key_1", "../x", "key_" + "g" * 26])
def test_a_key_has_an_id_that_the_page_made(client: TestClient, once: str) -> None:
    data = {"token": token_of(client), "once": once, "name": "Nightly", "scope.read": "on"}
    assert client.post("/admin/keys", data=data, headers=HERE).status_code == 422
