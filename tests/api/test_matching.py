"""Looking for a person's pictures over HTTP: what is found, who may ask, and that nothing of them is kept."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from httpx2 import Response
from PIL import Image

from app.auth import Scope
from app.pictures import matching
from app.record.tables import Dataset, StoredObject
from app.settings import Settings
from tests.data.test_hashes import TILES, saved
from tests.support.api_client import Api, assert_problem, digits_zip, pointers, serving, zipped

LOOKER = (Scope.READ, Scope.IMAGES)
SET = zipped({f"set/{'ab'[n % 2]}/{n:02}.png": saved(tile) for n, tile in enumerate(TILES)})


@pytest.fixture
def both(settings: Settings) -> Iterator[Api]:
    with serving(settings) as served:
        yield served


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("matching")
    (folder / "faces.zip").write_bytes(digits_zip())
    settings = Settings(
        data_dir=folder, broker_url=broker_url, allowed_roots=[folder], max_match_files=8, max_match_bytes=1_000_000
    )
    with serving(settings) as served:
        yield served


@pytest.fixture(scope="module")
def photos(api: Api) -> str:
    """A data set whose pictures are hashed already."""
    dataset = str(api.upload_dataset(SET).json()["id"])
    assert look(api, dataset, ("a.png", saved(TILES[0]))).status_code == 200
    return dataset


def look(api: Api, dataset: str, *files: tuple[str, bytes], **headers: str) -> Response:
    """POST …/match with a key that may do that and no more."""
    parts = [("file", file) for file in files]
    return api.post(f"/v1/datasets/{dataset}/match", files=parts, headers=headers or api.key(scopes=LOOKER))


def left(api: Api) -> list[str]:
    """What lies in the folders for a while."""
    return [str(path) for folder in ("uploads", "pictures/new") for path in (api.settings.data_dir / folder).glob("*")]


def test_pictures_are_found_by_pixels_and_by_their_look_and_nothing_of_them_stays(both: Api) -> None:
    dataset = str(both.upload_dataset(SET).json()["id"])
    files = [("same.bmp", saved(TILES[3], "BMP")), ("like.jpg", saved(TILES[4], "JPEG")), ("no.txt", b"hello")]

    answer = look(both, dataset, *files)
    again = look(both, dataset, *files)

    assert answer.status_code == 200, answer.text
    same, like, none = answer.json()["matches"]
    assert same == {
        "file": "same.bmp",
        "candidates": [{"id": "b/03.png", "distance": 0, "exact": True}],
        "problem": None,
    }
    assert [(one["id"], one["exact"]) for one in like["candidates"]] == [("a/04.png", False)]
    assert 0 < like["candidates"][0]["distance"] <= 64
    assert none["candidates"] == []
    assert "is not an image" in none["problem"]
    assert again.json() == answer.json()
    assert left(both) == []
    with both.database.read() as session:
        key = session.get_one(Dataset, dataset).hashes_key
        assert key is not None
        assert session.get_one(StoredObject, key).kept
        assert sum("hashes" in row.key for row in session.query(StoredObject)) == 1


def test_hashes_go_with_their_data_set(api: Api) -> None:
    dataset = str(api.upload_dataset(SET).json()["id"])
    assert look(api, dataset, ("a.png", saved(TILES[0]))).status_code == 200
    assert api.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert_problem(look(api, dataset, ("a.png", saved(TILES[0]))), 404, "not-found")
    with api.database.read() as session:
        assert [row.kept for row in session.query(StoredObject) if dataset in row.key] == [False] * 4


def test_an_archive_brings_many_pictures(api: Api, photos: str) -> None:
    album = zipped({f"{n}.jpg": saved(TILES[n], "JPEG") for n in range(3)})
    found = look(api, photos, ("album.zip", album), ("one.png", saved(TILES[9]))).json()["matches"]
    assert [(one["file"], [near["id"] for near in one["candidates"]]) for one in found] == [
        ("album.zip/0.jpg", ["a/00.png"]),
        ("album.zip/1.jpg", ["b/01.png"]),
        ("album.zip/2.jpg", ["a/02.png"]),
        ("one.png", ["b/09.png"]),
    ]


def test_unusual_pictures_are_answered_each_for_itself(api: Api, photos: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    files = {
        "dot.png": saved(Image.new("L", (1, 1))),
        "deep.png": saved(Image.new("I;16", (40, 40))),
        "moving.gif": saved(TILES[0].convert("P"), "GIF", save_all=True, append_images=[TILES[1].convert("P")]),
        "turned.jpg": saved(TILES[5].transpose(Image.Transpose.ROTATE_180), "JPEG", exif=exif),
        "half.jpg": saved(TILES[6], "JPEG")[:2000],
        "empty": b"",
        "none.zip": zipped({"README.txt": b"mine"}),
    }
    found = look(api, photos, *files.items()).json()["matches"]
    assert [([near["id"] for near in one["candidates"]], one["problem"] is None) for one in found] == [
        ([], True),
        ([], False),
        (["a/00.png"], True),
        (["b/05.png"], True),
        ([], False),
        ([], False),
        ([], False),
    ]


@pytest.mark.parametrize("name", ["../../etc/passwd", "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe", "x" * 3000])
def test_a_name_is_given_back_and_means_nothing(api: Api, photos: str, name: str) -> None:
    [found] = look(api, photos, (name, saved(TILES[0]))).json()["matches"]
    assert (found["file"], [near["id"] for near in found["candidates"]]) == (name, ["a/00.png"])


@pytest.mark.parametrize(
    ("content", "status", "kind", "word"),
    [
        (zipped({f"{n}.png": b"" for n in range(9)}), 413, "too-large", "NEGMERGE_MAX_MATCH_FILES"),
        (bytes(1_000_001), 413, "too-large", "NEGMERGE_MAX_MATCH_BYTES"),
        (zipped({"a.png": bytes(40_000_000)}, 8), 422, "invalid-request", "200 times"),
        (zipped({"../a.png": b""}), 422, "invalid-request", ".."),
        (zipped({"a.png": b""})[:-8], 422, "invalid-request", "cut off"),
    ],
    ids=["many in one", "large", "inflates", "climbs out", "cut off"],
)
def test_an_archive_that_is_too_much_or_broken_is_refused(
    api: Api, photos: str, content: bytes, status: int, kind: str, word: str
) -> None:
    problem = assert_problem(look(api, photos, ("me.png", saved(TILES[0])), ("a.zip", content)), status, kind)
    assert word in problem["detail"]
    if status == 422:
        assert "'a.zip': " in problem["detail"]
        assert pointers(problem) == ["/file/1"]
    assert left(api) == []


def test_ten_thousand_parts_are_refused_at_the_ninth(api: Api, photos: str) -> None:
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\nx\r\n' % n for n in range(10_000)
    )
    headers = api.key(scopes=LOOKER) | {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.post(f"/v1/datasets/{photos}/match", content=parts + b"--b--\r\n", headers=headers)
    assert "8 files (NEGMERGE_MAX_MATCH_FILES)" in assert_problem(answer, 413, "too-large")["detail"]
    assert left(api) == []


def test_a_form_without_a_picture_or_with_other_parts_is_refused(api: Api, photos: str) -> None:
    path, headers = f"/v1/datasets/{photos}/match", api.key(scopes=LOOKER)
    assert_problem(api.post(path, files={"picture": ("a.png", b"x")}, headers=headers), 422, "invalid-request")
    assert_problem(api.post(path, json={"file": "a.png"}, headers=headers), 415, "unsupported-media-type")


def test_parts_without_a_name_are_called_by_their_place(api: Api, photos: str) -> None:
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n%s\r\n' % content
        for content in (saved(TILES[0]), b"hello")
    )
    headers = api.key(scopes=LOOKER) | {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.post(f"/v1/datasets/{photos}/match", content=parts + b"--b--\r\n", headers=headers)
    first, second = answer.json()["matches"]
    assert (first["file"], first["problem"], second["file"]) == ("file 1", None, "file 2")
    assert second["problem"].startswith("'file 2' is not an image")


@pytest.mark.parametrize("scopes", [(Scope.READ, Scope.WRITE), (Scope.IMAGES, Scope.WRITE)])
def test_a_key_needs_to_read_and_to_see_pictures_and_not_to_write(
    api: Api, photos: str, scopes: tuple[Scope, ...]
) -> None:
    answer = look(api, photos, ("a.png", saved(TILES[0])), **api.key(scopes=scopes))
    assert_problem(answer, 403, "forbidden")


def test_another_tenants_data_set_cannot_be_asked(api: Api, photos: str) -> None:
    answer = look(api, photos, ("a.png", saved(TILES[0])), **api.key("other", LOOKER))
    assert_problem(answer, 404, "not-found")


def test_a_data_set_that_only_a_worker_reads_cannot_be_asked(api: Api) -> None:
    uri = (api.settings.data_dir / "faces.zip").as_uri()
    dataset = api.post("/v1/datasets", json={"uri": uri}).json()["id"]
    assert_problem(look(api, dataset, ("a.png", saved(TILES[0]))), 409, "not-uploaded")


def test_who_asks_while_the_set_is_hashed_is_told_to_ask_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_WAIT_SECONDS", 0.0)
    dataset = str(api.upload_dataset(SET).json()["id"])

    first = look(api, dataset, ("a.png", saved(TILES[0])))
    assert "ask again" in assert_problem(first, 503, "still-hashing")["detail"]
    assert first.headers["retry-after"] == "5"

    answers = [first]
    while answers[-1].status_code == 503:
        time.sleep(0.1)
        answers.append(look(api, dataset, ("a.png", saved(TILES[0]))))
    assert answers[-1].json()["matches"][0]["candidates"][0]["id"] == "a/00.png"


@pytest.mark.slow
def test_a_set_that_takes_too_long_says_which_setting_and_is_not_tried_again(tmp_path: Any, broker_url: str) -> None:
    large = saved(TILES[0].resize((2500, 2500)), "JPEG")  # of a JPEG the upload's check decodes a sixty-fourth
    many = zipped({f"{'ab'[n % 2]}/{n}.jpg": large for n in range(20)})
    with serving(Settings(data_dir=tmp_path, broker_url=broker_url, hash_seconds=1)) as served:
        dataset = str(served.upload_dataset(many).json()["id"])
        for _ in range(2):
            problem = assert_problem(look(served, dataset, ("a.png", saved(TILES[0]))), 413, "too-large")
            assert "1 seconds (NEGMERGE_HASH_SECONDS)" in problem["detail"]
        assert left(served) == []


@pytest.mark.parametrize("folder", ["", "me/", "__set/me/", "train/"])
def test_a_flat_set_is_looked_in_and_refused_as_a_jobs(api: Api, folder: str) -> None:
    made = api.upload_dataset(zipped({f"{folder}{n}.png": saved(tile) for n, tile in enumerate(TILES[:4])}))
    assert (made.status_code, made.json()["classes"], made.json()["samples"]) == (201, {}, 4)
    flat = str(made.json()["id"])
    taken = f"one folder, '{folder[:-1]}', which was taken for no class" if folder else "all pictures lie in no folder"
    assert taken in made.json()["note"]
    assert api.get(f"/v1/datasets/{flat}").json() == made.json()

    [sample, *_] = api.get(f"/v1/datasets/{flat}/samples").json()["data"]
    assert (sample["id"], sample["class"]) == ("0.png", None)
    [found] = look(api, flat, ("me.jpg", saved(TILES[2], "JPEG"))).json()["matches"]
    assert [near["id"] for near in found["candidates"]] == ["2.png"]

    answer = api.post("/v1/jobs", json=api.spec(forget={"dataset": flat, "select": {"ids": ["0.png"]}}))
    problem = assert_problem(answer, 422, "invalid-spec")
    assert pointers(problem) == ["/forget"]
    assert "a job needs classes" in problem["detail"]
    assert taken in problem["detail"]


def test_words_for_the_only_folder_are_refused_with_what_it_was_taken_for(api: Api) -> None:
    form = {"class_names": json.dumps({"three": "the digit three"})}
    answer = api.upload_dataset(zipped({"digits/three/1.png": saved(TILES[0])}), **form)
    detail = assert_problem(answer, 422, "invalid-dataset")["detail"]
    assert "'three' is no class of the archive, since all pictures lie in one folder, 'digits/three'" in detail


def test_a_set_with_classes_has_no_note(api: Api, photos: str) -> None:
    assert api.get(f"/v1/datasets/{photos}").json()["note"] is None
