"""Weights for whoever is signed in: at any scale, the bytes that the API gives."""

import pytest

from tests.api.test_scaled_weights import artifacts
from tests.support.api_client import Api
from tests.support.page_visits import enter, key_of


@pytest.fixture(scope="module")
def job(api: Api, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job whose weights can be made at any scale."""
    return api.finished_job(artifacts(tmp_path_factory.mktemp("weights")))


@pytest.mark.parametrize("query", ["", "?scale=0.6", "?scale=0"])
def test_the_weights_at_a_scale_are_those_that_the_api_gives(api: Api, job: str, query: str) -> None:
    expected = api.get(f"/v1/jobs/{job}/weights{query}").content
    api.client.cookies.clear()
    enter(api.client, key_of(api))
    assert api.client.get(f"/jobs/{job}/weights{query}").content == expected


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "model.safetensors"),
        ("?scale=0.6", "model-scale-0.6.safetensors"),
        ("?format=zip", "{job}-unlearned.zip"),
        ("?format=zip&scale=1.05", "{job}-unlearned-scale-1.05.zip"),
    ],
)
def test_a_downloads_name_says_at_which_other_scale_it_is(api: Api, job: str, query: str, name: str) -> None:
    expected = f'attachment; filename="{name.format(job=job)}"'
    assert api.get(f"/v1/jobs/{job}/weights{query}").headers["content-disposition"] == expected
    api.client.cookies.clear()
    enter(api.client, key_of(api))
    assert api.client.get(f"/jobs/{job}/weights{query}").headers["content-disposition"] == expected


def test_the_folder_comes_as_a_zip(api: Api, job: str) -> None:
    api.client.cookies.clear()
    enter(api.client, key_of(api))
    answer = api.client.get(f"/jobs/{job}/weights?format=zip&scale=0.6")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.content[:2] == b"PK"


@pytest.mark.parametrize("scale", ["-1", "nan", "1e9", "x"])
def test_a_scale_that_is_none_is_refused_in_words(api: Api, job: str, scale: str) -> None:
    api.client.cookies.clear()
    enter(api.client, key_of(api))
    answer = api.client.get(f"/jobs/{job}/weights?scale={scale}")
    assert answer.status_code == 422
    assert "scale" in answer.text
