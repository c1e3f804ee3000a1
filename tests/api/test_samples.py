"""The samples of a data set over HTTP: pages, filters, thumbnails, and who may see what."""

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from app.auth import Scope
from app.record.tables import Dataset, StoredObject
from app.settings import Settings
from tests.support.api_client import Api, assert_problem, digits_zip, png, pointers, serving, zipped

VIEWER = (Scope.READ, Scope.WRITE, Scope.IMAGES)


@pytest.fixture
def both(settings: Settings) -> Iterator[Api]:
    """On both kinds of servers, with a key that may see pictures."""
    with serving(settings) as served:
        served.headers = served.key(scopes=VIEWER)
        yield served


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("samples")
    (folder / "faces.zip").write_bytes(digits_zip())
    with serving(Settings(data_dir=folder, broker_url=broker_url, allowed_roots=[folder])) as served:
        served.headers = served.key(scopes=VIEWER)
        yield served


@pytest.fixture(scope="module")
def parted(api: Api) -> str:
    """A data set with parts of its own."""
    return uploaded(api, zipped(PARTED))


def uploaded(api: Api, content: bytes) -> str:
    answer = api.upload_dataset(content)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def walked(api: Api, path: str, **params: Any) -> list[dict[str, Any]]:
    """The samples of all pages."""
    found: list[dict[str, Any]] = []
    while True:
        page = api.get(path, params=params).json()
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


PARTED = {
    f"{part}/{name}/{n}.png": png(16 * n) for part in ("train", "val") for name in ("cat", "dog") for n in range(3)
}


def test_the_samples_are_listed_by_id_in_pages(both: Api) -> None:
    dataset = uploaded(both, zipped(PARTED))

    found = walked(both, f"/v1/datasets/{dataset}/samples", limit=5)

    assert [sample["id"] for sample in found] == sorted(PARTED)
    assert found[-1] == {
        "id": "val/dog/2.png",
        "class": "dog",
        "part": "validation",
        "thumbnail": f"/v1/datasets/{dataset}/samples/val/dog/2.png/thumbnail",
    }


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("class=cat&part=validation", ["val/cat/0.png", "val/cat/1.png", "val/cat/2.png"]),
        ("class=cat&class=dog&part=test", []),
        (
            "part=train&part=validation&class=dog",
            [f"{part}/dog/{n}.png" for part in ("train", "val") for n in range(3)],
        ),
    ],
)
def test_they_are_chosen_by_class_and_part_and_counted(api: Api, parted: str, query: str, ids: list[str]) -> None:
    page = api.get(f"/v1/datasets/{parted}/samples?{query}").json()
    assert [sample["id"] for sample in page["data"]] == ids
    assert (page["total"], page["next_cursor"]) == (len(ids), None)


def test_the_last_page_is_the_last_though_it_is_full(api: Api, parted: str) -> None:
    page = api.get(f"/v1/datasets/{parted}/samples?limit=12").json()
    assert (len(page["data"]), page["next_cursor"]) == (12, None)


def test_a_class_that_the_set_does_not_have_is_told(api: Api, parted: str) -> None:
    problem = assert_problem(api.get(f"/v1/datasets/{parted}/samples?class=owl"), 422, "invalid-request")
    assert pointers(problem) == ["#query/class"]
    assert "'owl'" in problem["detail"]


@pytest.mark.parametrize("query", ["part=nowhere", "limit=0", "limit=201"])
def test_a_wrong_question_is_422(api: Api, parted: str, query: str) -> None:
    assert_problem(api.get(f"/v1/datasets/{parted}/samples?{query}"), 422, "invalid-request")


@pytest.mark.parametrize("cursor", ["ds_0", "after_", "after_-1", "after_1 OR 1=1", "after_" + "9" * 13])
def test_a_cursor_that_is_not_ours_is_400(api: Api, parted: str, cursor: str) -> None:
    answer = api.get(f"/v1/datasets/{parted}/samples", params={"cursor": cursor})
    assert_problem(answer, 400, "malformed")


def test_another_tenants_samples_and_pictures_are_not_there(api: Api, parted: str) -> None:
    stranger = api.key("other", VIEWER)
    for path in ("samples", "samples/val/cat/0.png/thumbnail"):
        assert api.get(f"/v1/datasets/{parted}/{path}").status_code == 200
        assert_problem(api.get(f"/v1/datasets/{parted}/{path}", headers=stranger), 404, "not-found")


def test_a_data_set_that_only_a_worker_reads_says_so(api: Api) -> None:
    uri = (api.settings.data_dir / "faces.zip").as_uri()
    dataset = api.post("/v1/datasets", json={"uri": uri}).json()["id"]
    for path in ("samples", "samples/one/00.png/thumbnail"):
        problem = assert_problem(api.get(f"/v1/datasets/{dataset}/{path}"), 409, "not-uploaded")
        assert "upload the archive" in problem["detail"]


def test_a_deleted_data_set_has_no_pictures_any_more(api: Api) -> None:
    dataset = api.dataset()
    path = f"/v1/datasets/{dataset}/samples/one/00.png/thumbnail"
    assert api.get(path).status_code == 200
    assert api.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert_problem(api.get(path), 404, "not-found")
    with api.database.read() as session:
        assert [row.kept for row in session.query(StoredObject) if dataset in row.key] == [False] * 3


def test_a_listing_that_an_earlier_version_did_not_make_is_made_now(both: Api) -> None:
    dataset = uploaded(both, tarred(PARTED, "w:gz"))
    with both.database.write() as session:
        row = session.get_one(Dataset, dataset)
        row.listing_key = None

    found = walked(both, f"/v1/datasets/{dataset}/samples")

    assert [sample["id"] for sample in found] == sorted(PARTED)
    assert shade(both, dataset, "val/dog/2.png") == (32, 32, 32)
    with both.database.read() as session:
        key = session.get_one(Dataset, dataset).listing_key
        assert key is not None
        assert session.get_one(StoredObject, key).kept


def tarred(files: dict[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def thumbnail(api: Api, dataset: str, sample: str, **options: Any) -> Any:
    return api.get(f"/v1/datasets/{dataset}/samples/{quote(sample)}/thumbnail", **options)


def opened(answer: Any) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    return Image.open(io.BytesIO(answer.content), formats=["WEBP"])


def shade(api: Api, dataset: str, sample: str) -> Any:
    return opened(thumbnail(api, dataset, sample)).getpixel((0, 0))


def packed(mode: int) -> Callable[[dict[str, bytes]], bytes]:
    return lambda files: zipped(files, mode)


@pytest.mark.parametrize(
    "pack",
    [packed(0), packed(8), lambda files: tarred(files, "w"), lambda files: tarred(files, "w:gz")],
    ids=["stored", "deflated", "tar", "tar.gz"],
)
def test_each_sample_shows_its_own_picture_whatever_the_archive(both: Api, pack: Any) -> None:
    """A small flat picture comes as it is, without loss."""
    files = {f"{name}/{n}.png": png(40 * n + 3 * len(name)) for name in ("a", "bb") for n in range(5)}
    dataset = uploaded(both, pack({f"wrapped/{name}": content for name, content in files.items()}))
    for name, content in files.items():
        value = Image.open(io.BytesIO(content)).getpixel((0, 0))
        assert shade(both, dataset, name) == (value, value, value)
    assert list((both.settings.data_dir / "pictures").glob("new/*")) == []


def picture(size: tuple[int, int], kind: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


SHAPES = {
    "photo.jpg": (picture((800, 400)), (160, 80)),
    "one pixel.png": (picture((1, 1), "PNG"), (1, 1)),
    "thread.png": (picture((3, 2000), "PNG"), (1, 160)),
    "cmyk.jpg": (picture((500, 500), "JPEG", "CMYK"), (160, 160)),
    "transparent.png": (picture((200, 100), "PNG", "RGBA"), (160, 80)),
    "moving.gif": (picture((200, 100), "GIF", "P", save_all=True, append_images=[Image.new("P", (9, 9))]), (160, 80)),
    "turned.jpg": (picture((400, 200), exif=exif(6)), (160, 80)),
    "bits.tif": (picture((400, 100), "TIFF", "1"), (160, 40)),
}
"""Pictures, and the size of their thumbnails: no orientation is applied, as in the models' own libraries."""


@pytest.fixture(scope="module")
def shapes(api: Api) -> str:
    return uploaded(api, zipped({f"a/{name}": content for name, (content, _) in SHAPES.items()} | {"b/1.png": png(1)}))


@pytest.mark.parametrize("name", SHAPES)
def test_a_thumbnail_has_at_most_160_pixels_and_the_shape_that_a_model_sees(api: Api, shapes: str, name: str) -> None:
    found = opened(thumbnail(api, shapes, f"a/{name}"))
    assert (found.size, found.mode, dict(found.getexif())) == (SHAPES[name][1], "RGB", {})


NAMES = [
    "ü ñ.png",
    "50%.png",
    "what?.png",
    "#1.png",
    "x+y&z=1;.png",
    "日本.png",
    "thumbnail.png",
    "thumbnail/thumbnail.png",
]


@pytest.fixture(scope="module")
def named(api: Api) -> str:
    return uploaded(api, zipped({f"a/{name}": png(7 * n) for n, name in enumerate(NAMES)} | {"b/1.png": png(1)}))


@pytest.mark.parametrize("name", NAMES)
def test_any_id_finds_its_picture_with_its_slashes_or_without(api: Api, named: str, name: str) -> None:
    listed = walked(api, f"/v1/datasets/{named}/samples")
    href = next(one["thumbnail"] for one in listed if one["id"] == f"a/{name}")
    for path in (href, f"/v1/datasets/{named}/samples/{quote(f'a/{name}', safe='')}/thumbnail"):
        assert opened(api.get(path)).getpixel((0, 0)) == (7 * NAMES.index(name),) * 3


@pytest.mark.parametrize(
    "name", ["val/cat/9.png", "..%2F..%2Fval/cat/0.png", "val/cat/0.png%00", "%2Fval/cat/0.png", "val//cat/0.png"]
)
def test_an_id_that_is_not_there_is_404(api: Api, parted: str, name: str) -> None:
    answer = api.get(f"/v1/datasets/{parted}/samples/{name}/thumbnail")
    assert "no sample" in assert_problem(answer, 404, "not-found")["detail"]


def test_a_key_without_the_scope_sees_ids_and_no_pictures(api: Api, parted: str) -> None:
    reader = api.key(scopes=(Scope.READ, Scope.WRITE))
    assert api.get(f"/v1/datasets/{parted}/samples", headers=reader).status_code == 200
    problem = assert_problem(thumbnail(api, parted, "val/cat/0.png", headers=reader), 403, "forbidden")
    assert "'images'" in problem["detail"]


def test_a_key_with_the_scope_alone_may_read_nothing(api: Api, parted: str) -> None:
    answer = thumbnail(api, parted, "val/cat/0.png", headers=api.key(scopes=(Scope.IMAGES,)))
    assert "'read'" in assert_problem(answer, 403, "forbidden")["detail"]


def test_an_admin_sees_pictures(api: Api, parted: str) -> None:
    answer = thumbnail(api, parted, "val/cat/0.png", headers=api.key(scopes=(Scope.ADMIN,)))
    assert answer.status_code == 200


def test_a_client_that_has_the_picture_gets_304_and_keeps_it_to_itself(api: Api, parted: str) -> None:
    first = thumbnail(api, parted, "val/cat/0.png")
    assert first.headers["cache-control"] == "private, max-age=300"

    again = thumbnail(api, parted, "val/cat/0.png", headers={"If-None-Match": first.headers["etag"]})
    other = thumbnail(api, parted, "val/cat/1.png", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert other.status_code == 200


def test_a_picture_that_went_bad_is_told_and_those_beside_it_are_shown(api: Api) -> None:
    """As an archive that was changed in the store: in what was uploaded every picture can be decoded."""
    dataset = uploaded(api, zipped({f"{name}/1.png": picture((64, 64), "PNG") for name in "abc"}))
    with api.database.read() as session:
        key = session.get_one(Dataset, dataset).key
    assert api.store.folder is not None
    path = api.store.folder / str(key)
    content = path.read_bytes()
    at = content.index(b"b/1.png") + 60
    path.write_bytes(content[:at] + bytes(20) + content[at + 20 :])

    problem = assert_problem(thumbnail(api, dataset, "b/1.png"), 409, "unreadable-picture")

    assert "'b/1.png' is a damaged image" in problem["detail"]
    assert opened(thumbnail(api, dataset, "c/1.png")).size == (64, 64)
