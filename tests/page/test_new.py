"""The form of a new request below any browser: very long ones, and that what was typed comes back as it was."""

import json
import re
from html import unescape

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.page.guard import MAX_FIELDS
from app.page.new import MAX_TILES
from tests.support.api_client import Api, png, zipped
from tests.support.page_visits import HERE, token_of

pytestmark = pytest.mark.slow

CLASSES = [f"class {n:04}" for n in range(MAX_TILES + 1)]
FAMILY = "a/\U0001f469\u200d\U0001f467.png"
"""A name with a character that joins two and is not seen."""


@pytest.fixture(scope="module")
def many(api: Api) -> dict[str, str]:
    """A data set of one class more than has a tile, and a model: as the form names them."""
    archive = zipped({f"{name}/{n}.png": png(n) for name in CLASSES for n in range(4)})
    return {"dataset": str(api.upload_dataset(archive).json()["id"]), "model": api.model()}


@pytest.fixture
def form(client: TestClient) -> TestClient:
    """A browser without any script, in which somebody fills in a request."""
    return client


def send(form: TestClient, fields: dict[str, str], do: str = "begin", script: bool = False) -> Response:
    given = {"token": token_of(form), "once": "0" * 32, "sweep": "own", "epochs": "1"} | fields | {"do": do}
    return form.post("/new", data=given, headers=HERE | ({"HX-Request": "true"} if script else {}))


def document(answer: Response) -> dict[str, object]:
    """The spec that the page shows."""
    [shown] = re.findall(r'aria-label="JSON">(.*?)</pre>', answer.text, re.DOTALL)
    found: dict[str, object] = json.loads(unescape(shown))
    return found


def typed(answer: Response, name: str) -> str:
    """What stands in a field of several lines."""
    [text] = re.findall(rf'<textarea id="{name}"[^>]*>(.*?)</textarea>', answer.text, re.DOTALL)
    return unescape(text)


def test_all_classes_that_have_a_tile_and_one_that_has_none_are_chosen(form: TestClient, many: dict[str, str]) -> None:
    ticks = {f"class.{n}": name for n, name in enumerate(CLASSES[:MAX_TILES])}
    answer = send(form, many | ticks | {"class_names": CLASSES[-1], "how": "classes"}, do="check")
    assert document(answer)["forget"] == {"dataset": many["dataset"], "select": {"classes": CLASSES}}
    assert typed(answer, "class-names") == CLASSES[-1]
    assert answer.text.count(" checked>") >= MAX_TILES


def test_more_samples_than_a_form_has_fields_begin_a_job(form: TestClient, many: dict[str, str], api: Api) -> None:
    ids = [f"{name}/0.png" for name in CLASSES[: MAX_FIELDS * 4 // 5]] + [f"{name}/1.png" for name in CLASSES[:500]]
    assert len(ids) > MAX_FIELDS
    answer = send(form, many | {"how": "samples", "ids": "\r\n".join(ids)})
    job = answer.url.path.rpartition("/")[2]
    assert api.get(f"/v1/jobs/{job}").json()["spec"]["forget"]["select"]["ids"] == ids


def test_a_spec_that_the_api_would_not_take_is_told_beside_what_was_chosen(
    form: TestClient, many: dict[str, str], api: Api
) -> None:
    most = api.settings.max_body_bytes
    ids = "\n".join(f"{n:07}/" + "x" * 992 for n in range(most // 1000))
    answer = send(form, many | {"how": "samples", "ids": ids}, script=True)
    assert re.search(rf"this makes a spec of \d+ bytes, of at most {most}", answer.text, re.IGNORECASE)


def test_a_list_of_more_values_than_json_may_have_is_told_there_too(form: TestClient, many: dict[str, str]) -> None:
    ids = "\n".join(f"{n}" for n in range(260_000))
    answer = send(form, many | {"how": "samples", "ids": ids}, script=True)
    assert "JSON may have 250000 values" in answer.text


def test_a_script_is_answered_with_what_it_takes_and_no_more(form: TestClient, many: dict[str, str]) -> None:
    answer = send(form, many | {"how": "classes", "class.0": CLASSES[0]}, do="", script=True)
    assert answer.text.lstrip().startswith('<div id="cost"')
    assert document(answer)["forget"] == {"dataset": many["dataset"], "select": {"classes": [CLASSES[0]]}}


def test_what_was_typed_comes_back_as_it_was(form: TestClient, many: dict[str, str]) -> None:
    given = {"ids": f"{FAMILY}\nb.png", "metadata": 'by = Ada\nnote = <b> & "so"', "ticket": "\u202eDSR"}
    answer = send(form, many | given | {"how": "samples", "epochs": "many"})
    assert answer.status_code == 422
    assert (typed(answer, "ids"), typed(answer, "metadata")) == (given["ids"], given["metadata"])
    [ticket] = re.findall(r'name="ticket" value="(.*?)"', answer.text)
    assert unescape(ticket) == given["ticket"]


def test_samples_whose_names_have_unseen_characters_are_ticked_by_their_very_names(form: TestClient, api: Api) -> None:
    uploaded = api.upload_dataset(zipped({FAMILY: png(1), "b/c.png": png(2)}))
    assert uploaded.status_code == 201, uploaded.text
    dataset = uploaded.json()["id"]
    answer = form.get(f"/new/samples?dataset={dataset}", headers=HERE)
    assert f'value="{FAMILY}"' in answer.text
    assert "\\u200d" in answer.text  # and what is read is escaped
