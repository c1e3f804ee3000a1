"""Addresses at which there is nothing: a page for people, a problem for programs."""

import pytest
from fastapi.testclient import TestClient

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nope", 404), ("/datasets/X/", 404), ("/datasets/ds_1", 404), ("/sign-out", 405), ("/admin/keys", 405)],
)
def test_a_browser_gets_a_page_that_leads_on(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert 'href="/">To the jobs' in answer.text
    assert "Sign out" in answer.text


def test_who_is_not_signed_in_gets_the_page_without_the_navigation(client: TestClient) -> None:
    client.cookies.clear()
    answer = client.get("/nope", headers=BROWSER)
    assert answer.status_code == 404
    assert "Sign out" not in answer.text


@pytest.mark.parametrize(("path", "accept"), [("/nope", "*/*"), ("/v1/nope", "text/html"), ("/v1/jobs", "text/html")])
def test_a_program_gets_a_problem(client: TestClient, path: str, accept: str) -> None:
    answer = client.get(path, headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_address_of_a_job_that_was_shortened_leads_to_the_jobs(client: TestClient) -> None:
    assert client.get("/jobs", follow_redirects=False).headers["location"] == "/"


def test_an_error_leads_back_to_where_its_reader_was(client: TestClient) -> None:
    came = {"Referer": "http://testserver/datasets?cursor=x"}
    assert 'href="/datasets?cursor=x">Back' in client.get("/datasets/ds_1", headers=came).text


@pytest.mark.parametrize(
    "came", ["http://evil.example/x", "http://testserver/datasets/ds_1", "javascript:alert(1)", ""]
)
def test_an_error_leads_nowhere_else(client: TestClient, came: str) -> None:
    assert ">Back<" not in client.get("/datasets/ds_1", headers={"Referer": came}).text
