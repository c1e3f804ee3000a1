"""Pictures of forgotten and kept samples: with both answers for all, and to be seen by who may see images."""

import json

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect

from app.auth import Scope
from tests.page.conftest import Site, sign_in
from tests.support import browser as browsers
from tests.support import page_results, results
from tests.support.api_client import Api
from tests.support.page_visits import enter, key_of

READ, IMAGES = (Scope.READ,), (Scope.READ, Scope.IMAGES)


def example(sample: str, class_name: str, before: str, after: str) -> dict[str, str]:
    return {"id": sample, "class_name": class_name, "before": before, "after": after}


@pytest.fixture(scope="module")
def job(api: Api) -> str:
    """A job on uploaded data, whose model takes one seven for a two, and keeps a two."""
    dataset = api.dataset()
    sample = api.get(f"/v1/datasets/{dataset}/samples", params={"class": "seven"}).json()["data"][0]["id"]
    kept = api.get(f"/v1/datasets/{dataset}/samples", params={"class": "two"}).json()["data"][0]["id"]
    shown = {
        "parts": {"forget": "test", "retain": "test"},
        "forget": [example(sample, "seven", "seven", "two")],
        "retain": [example(kept, "two", "two", "two")],
    }
    document = results.document(methods=page_results.methods(), scale=0.5)
    files = {"result.json": json.dumps(document.as_json()), "examples.json": json.dumps(shown)}
    return api.finished_job(
        {name: text.encode() for name, text in files.items()},
        forget={"dataset": dataset, "select": {"classes": ["seven"]}},
        retain={"dataset": dataset},
    )


def entered(api: Api, scopes: tuple[Scope, ...], tenant: str = "acme") -> TestClient:
    api.client.cookies.clear()
    enter(api.client, key_of(api, tenant, scopes))
    return api.client


def test_who_may_see_images_gets_the_samples_picture(api: Api, job: str) -> None:
    answer = entered(api, IMAGES).get(f"/jobs/{job}/pictures/forget/0")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert answer.content[8:12] == b"WEBP"


def test_a_browser_asks_each_time_whether_its_visitor_may_still_see_a_picture(api: Api, job: str) -> None:
    address = f"/jobs/{job}/pictures/forget/0"
    answer = entered(api, IMAGES).get(address)
    assert answer.headers["cache-control"] == "private, no-cache"
    kept = {"If-None-Match": answer.headers["etag"]}
    assert api.client.get(address, headers=kept).status_code == 304
    assert entered(api, READ).get(address, headers=kept).status_code == 403
    api.client.cookies.clear()
    assert api.client.get(address, headers=kept, follow_redirects=False).status_code == 303


@pytest.mark.parametrize("of", ["classes", "samples"])
def test_pictures_of_a_data_set_are_asked_for_each_time_too(api: Api, of: str) -> None:
    dataset = api.dataset()
    first = api.get(f"/v1/datasets/{dataset}/samples").json()["data"][0]["id"]
    place = "classes/0" if of == "classes" else f"samples/{first}"
    answer = entered(api, IMAGES).get(f"/datasets/{dataset}/{place}/picture")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-cache")


def test_who_may_not_is_refused_and_told_what_the_model_says_all_the_same(api: Api, job: str) -> None:
    client = entered(api, READ)
    assert client.get(f"/jobs/{job}/pictures/forget/0").status_code == 403
    view = client.get(f"/jobs/{job}").text
    assert "not seven" in view
    assert '<img src="/jobs' not in view


def test_another_tenant_sees_no_picture(api: Api, job: str) -> None:
    assert entered(api, IMAGES, "rival").get(f"/jobs/{job}/pictures/forget/0").status_code == 404


@pytest.mark.parametrize(
    ("place", "status"), [("forget/1", 404), ("retain/1", 404), ("base/0", 422), ("forget/-1", 422)]
)
def test_there_are_pictures_of_the_examples_alone(api: Api, job: str, place: str, status: int) -> None:
    assert entered(api, IMAGES).get(f"/jobs/{job}/pictures/{place}").status_code == status


@pytest.mark.server
@pytest.mark.slow
def test_forgotten_and_kept_pictures_are_shown_with_both_answers(site: Site, chromium: Browser, job: str) -> None:
    with browsers.watched(chromium, site.origin) as visitor:
        sign_in(visitor, site.key(scopes=IMAGES))
        visitor.open(f"/jobs/{job}")
        forgotten = visitor.page.get_by_role("region", name="What was to be forgotten").get_by_role("listitem")
        expect(forgotten).to_have_text("seven → became two not seven".replace("→ ", "→"))
        picture = forgotten.get_by_role("img")
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert visitor.page.evaluate("document.querySelector('.pictures img').naturalWidth") > 0
        assert visitor.seriously_wrong() == []
