"""From archives and named data sets to pixels."""

import io
import struct
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from negmerge.data.archives import index_archive
from negmerge.decoding.dataset import Dataset, decode, open_archive, open_torchvision
from negmerge.decoding.preprocess import of_open_clip
from negmerge.errors import ArchiveError, DataError, Interrupted
from tests.support.archive_files import PAIR, folders, png, write_tar, write_zip
from tests.support.data_trees import TREES

SMALL_CFG = PreprocessCfg(size=8)
SMALL = of_open_clip(SMALL_CFG)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(mode: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    """An image of random pixels; RGBA ones are partly transparent."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA") if mode == "RGBA" else Image.fromarray(values[..., :3]).convert(mode)


def of_images(folder: Path, **images: bytes) -> Dataset:
    """A data set with these images in class a, by name, and another class."""
    files = {f"a/{name}.png": content for name, content in images.items()}
    return open_archive(write_zip(folder / "data.zip", {**files, "b/1.png": png()}))


def as_open_clip_does(content: bytes, preprocess: PreprocessCfg) -> torch.Tensor:
    floats: torch.Tensor = image_transform_v2(preprocess, is_train=False)(Image.open(io.BytesIO(content)))
    return floats


def assert_same_floats(pixels: torch.Tensor, expected: torch.Tensor, preprocess: PreprocessCfg) -> None:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocess.mean, preprocess.std))
    torch.testing.assert_close((pixels / 255 - mean) / std, expected, rtol=1e-6, atol=1e-6)


# Decoding


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(40, 23), (23, 40), (5, 7), (8, 8)])
def test_pixels_are_what_open_clip_would_give_the_model(
    resize_mode: str, interpolation: str, size: tuple[int, int], tmp_path: Path
) -> None:
    preprocess = PreprocessCfg(size=16, resize_mode=resize_mode, interpolation=interpolation, fill_color=9)
    content = encoded(noise("RGB", size))
    dataset = of_images(tmp_path, x=content)
    decoded = decode(dataset, dataset.index.samples[:1], of_open_clip(preprocess))
    assert_same_floats(decoded.images[0], as_open_clip_does(content, preprocess), preprocess)


@pytest.mark.parametrize(
    ("mode", "form"),
    [("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("P", "GIF"), ("LA", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG")],
)
def test_every_kind_of_pixel_becomes_rgb_as_open_clip_does_it(mode: str, form: str, tmp_path: Path) -> None:
    content = encoded(noise(mode, (20, 12)), form)
    dataset = of_images(tmp_path, x=content)
    decoded = decode(dataset, dataset.index.samples[:1], SMALL)
    assert_same_floats(decoded.images[0], as_open_clip_does(content, SMALL_CFG), SMALL_CFG)


def test_an_exif_orientation_is_not_applied_as_in_open_clip(tmp_path: Path) -> None:
    image = noise("RGB", (20, 12))
    exif = image.getexif()
    exif[0x0112] = 6
    content = encoded(image, "JPEG", exif=exif)
    dataset = of_images(tmp_path, x=content)
    assert_same_floats(
        decode(dataset, dataset.index.samples[:1], SMALL).images[0], as_open_clip_does(content, SMALL_CFG), SMALL_CFG
    )


def test_a_palette_with_transparent_colours_is_read_without_a_warning(tmp_path: Path) -> None:
    content = encoded(noise("P", (8, 8)), transparency=bytes(range(256)))
    dataset = of_images(tmp_path, x=content)
    expected = Image.open(io.BytesIO(content)).convert("RGBA").convert("RGB")
    decoded = decode(dataset, dataset.index.samples[:1], SMALL)
    assert torch.equal(decoded.images[0], torch.from_numpy(np.array(expected)).permute(2, 0, 1))


def test_images_and_labels_are_in_the_order_asked_for(tmp_path: Path) -> None:
    files = {f"{name}/{value}.png": png(value) for name in ("x", "y", "z") for value in range(30, 90)}
    dataset = open_archive(write_zip(tmp_path / "a", files))
    samples = list(dataset.index.samples)[::-3]
    decoded = decode(dataset, samples, SMALL)
    assert decoded.ids == tuple(sample.id for sample in samples)
    assert decoded.images[:, 0, 0, 0].tolist() == [int(sample.id[2:4]) for sample in samples]
    assert decoded.labels.tolist() == ["xyz".index(sample.class_name) for sample in samples]


def test_decoded_images_are_uint8_and_labels_int64(tmp_path: Path) -> None:
    dataset = open_archive(write_tar(tmp_path / "a", PAIR))
    decoded = decode(dataset, dataset.index.samples, SMALL)
    assert (decoded.images.dtype, decoded.labels.dtype) == (torch.uint8, torch.int64)
    assert decoded.images.shape == (2, 3, 8, 8)


def test_no_samples_decode_to_none(tmp_path: Path) -> None:
    dataset = open_archive(write_zip(tmp_path / "a", PAIR))
    assert decode(dataset, [], SMALL).images.shape == (0, 3, 8, 8)


def test_decoding_tells_how_many_images_are_done(tmp_path: Path) -> None:
    dataset = open_archive(write_zip(tmp_path / "a", folders(*(f"{c}/{i}.png" for c in "ab" for i in range(50)))))
    seen: list[tuple[int, int, float | None]] = []
    decode(dataset, dataset.index.samples, SMALL, lambda *step: seen.append(step))
    assert seen[-1] == (100, 100, None)


def test_decoding_can_be_stopped(tmp_path: Path) -> None:
    def stop(step: int, total: int, loss: float | None) -> None:
        raise Interrupted("stop")

    dataset = open_archive(write_zip(tmp_path / "a", PAIR))
    with pytest.raises(Interrupted):
        decode(dataset, dataset.index.samples, SMALL, stop)


def png_of_nothing() -> bytes:
    """A PNG with all checksums right and no pixels in it, so that only decoding can tell."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"nothing") + chunk(b"IEND", b"")


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    index = index_archive(write_zip(tmp_path / "a", {**PAIR, "cat/2.png": png()}))
    dataset = open_archive(write_zip(tmp_path / "a", {**PAIR, "cat/2.png": png_of_nothing()}), index)
    with pytest.raises(DataError, match=r"'cat/2\.png' cannot be decoded"):
        decode(dataset, dataset.index.samples, SMALL)


def test_an_image_that_resizing_would_blow_up_is_named(tmp_path: Path) -> None:
    """One pixel wide and 20,000 high: with its shorter side at 224 it would have a thousand million pixels."""
    dataset = of_images(tmp_path, thin=png(size=(1, 20_000)))
    with pytest.raises(DataError, match=r"'a/thin\.png' is too narrow: 1 × 20000"):
        decode(dataset, dataset.index.samples, of_open_clip(PreprocessCfg(size=224)))


def test_an_image_that_squashing_would_blow_up_is_named(tmp_path: Path) -> None:
    """Squashed to 224 pixels a side, row by row first: 400,000 rows of 224 pixels are as many as an image may have."""
    dataset = of_images(tmp_path, thin=png(size=(1, 400_000)))
    with pytest.raises(DataError, match=r"'a/thin\.png' is too narrow: 1 × 400000"):
        decode(dataset, dataset.index.samples, of_open_clip(PreprocessCfg(size=224, resize_mode="squash")))


@pytest.mark.slow
def test_no_more_images_are_decoded_side_by_side_than_512_mib_hold(tmp_path: Path) -> None:
    """Eight bytes a pixel: 16 million pixels take 128 MB, so five such images would take more."""
    content = encoded(Image.new("1", (4000, 4000)))
    dataset = of_images(tmp_path, **{str(number): content for number in range(5)})
    done, side_by_side = 0, []

    def count(finished: int, total: int, loss: float | None) -> None:
        nonlocal done
        done = finished

    def read(ids: Collection[str]) -> Iterator[tuple[str, Image.Image]]:
        for number, named in enumerate(dataset.read(ids)):
            side_by_side.append(number - done)  # read before this one and not done yet
            yield named

    decode(replace(dataset, read=read), dataset.index.samples, SMALL, count)
    assert max(side_by_side) == 4


def test_an_images_pixels_are_let_go_when_the_model_has_its_own(tmp_path: Path) -> None:
    dataset = open_archive(write_zip(tmp_path / "a", PAIR))
    given: list[Image.Image] = []

    def read(ids: Collection[str]) -> Iterator[tuple[str, Image.Image]]:
        for sample_id, image in dataset.read(ids):
            given.append(image)
            yield sample_id, image

    decode(replace(dataset, read=read), dataset.index.samples, SMALL)
    assert len(given) == 2
    for image in given:
        with pytest.raises(ValueError, match="closed image"):
            image.getpixel((0, 0))


def test_an_archive_that_changed_after_indexing_is_an_error_not_other_data(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", PAIR)
    dataset = open_archive(path)
    write_zip(path, folders("cat/1.png", "dog/2.png"))
    with pytest.raises(ArchiveError, match=r"'dog/1\.png' is not in the archive any more"):
        decode(dataset, dataset.index.samples, SMALL)


@given(content=st.binary(max_size=200), keep=st.integers(0, 60))
def test_whatever_the_bytes_are_nothing_but_a_data_error_is_raised(
    content: bytes, keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "a"
    write_zip(path, {**PAIR, "cat/2.png": png()[:keep] + content})
    dataset = open_archive(path, index_archive(path, verify=False))
    with suppress(DataError):
        decode(dataset, dataset.index.samples, SMALL)


# Words


def test_classes_are_called_by_their_folders_unless_words_are_given(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", PAIR)
    dataset = open_archive(path, class_names={"dog": "good dog"})
    assert dataset.class_words == ["cat", "good dog"]
    assert dataset.templates == ["a photo of a {}."]


@pytest.mark.parametrize(
    ("class_names", "templates", "message"),
    [
        ({"cow": "cow"}, ["{}"], "'cow', which is no class"),
        ({"cat": " "}, ["{}"], "no words for 'cat'"),
        ({}, [], "templates is empty"),
        ({}, ["{}", "a photo"], "'a photo' is no template"),
    ],
)
def test_words_that_do_not_fit_the_data_set_are_refused(
    class_names: dict[str, str], templates: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        open_archive(write_zip(tmp_path / "a", PAIR), None, class_names, templates)


# Named data sets


def test_a_named_data_set_decodes_like_an_archive(tmp_path: Path) -> None:
    TREES["MNIST", 0](tmp_path)
    dataset = open_torchvision("MNIST", tmp_path, {"nine": "the number 9"})
    samples = [sample for sample in dataset.index.samples if sample.id in ("train/000021", "test/000004")]
    decoded = decode(dataset, samples, SMALL)
    assert decoded.images[:, 0, 0, 0].tolist() == [4, 21]
    assert [dataset.class_words[label] for label in decoded.labels] == ["4", "1"]
    assert "the number 9" in dataset.class_words


# A whole way, from a tar.gz


def test_a_packed_tar_is_decoded_like_the_zip_of_the_same_files(tmp_path: Path) -> None:
    files = {f"top/{c}/{i}.png": encoded(noise("RGB", (9, 9), i)) for c in "ab" for i in range(3)}
    packed = open_archive(write_tar(tmp_path / "a.tar.gz", files, "w:gz"))
    plain = open_archive(write_zip(tmp_path / "a.zip", files))
    assert packed.index == plain.index
    assert tarfile.is_tarfile(tmp_path / "a.tar.gz")
    both = (decode(dataset, dataset.index.samples, SMALL).images for dataset in (packed, plain))
    assert torch.equal(*both)


def test_more_pixels_than_the_machine_has_memory_are_refused_before_any_is_decoded(tmp_path: Path) -> None:
    dataset = open_archive(write_zip(tmp_path / "a", PAIR))
    vast = replace(SMALL, size=2**22)
    with pytest.raises(DataError, match=r"2 images of 4194304 × 4194304 pixels take 98304\.0 GiB, and this"):
        decode(dataset, dataset.index.samples, vast)
