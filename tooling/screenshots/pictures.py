"""A view as pictures in each look, and as it comes out of a printer."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page

FOLDER = Path("docs/screenshots")
PRINTS = Path("var/screenshots/print")
"""PDFs are to be looked at, not kept."""
COLOURS = 128
"""Of a picture: nobody sees a difference, and it is a quarter of the size."""

WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
LOOKS: dict[str, dict[str, Any]] = {"": WIDE, "-dark": WIDE | {"color_scheme": "dark"}, "-phone": PHONE}
"""What is put behind a picture's name, and how the browser is made for it."""

_ALL_PICTURES = """Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  return image.complete || new Promise((done) => { image.onload = image.onerror = done; });
}))"""


def save(page: Page, name: str) -> None:
    """The whole view, once its pictures are there."""
    load_pictures(page)
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as taken:
        _few_colours(taken.convert("RGB")).save(FOLDER / f"{name}.png", optimize=True)


def _few_colours(taken: Image.Image) -> Image.Image:
    """The picture with a palette of its commonest colours as they are, and of such as come near to all others."""
    pixels, counts = np.unique(np.asarray(taken).reshape(-1, 3), axis=0, return_counts=True)
    common = pixels[np.argsort(-counts, kind="stable")[: COLOURS // 2]]
    others = taken.quantize(COLOURS - len(common), Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*common.flatten().tolist(), *others])
    return taken.quantize(palette=palette, dither=Image.Dither.NONE)


def save_print(page: Page, name: str) -> None:
    """The view as A4 pages."""
    load_pictures(page)
    PRINTS.mkdir(parents=True, exist_ok=True)
    margin = {"top": "15mm", "bottom": "15mm", "left": "15mm", "right": "15mm"}
    page.pdf(path=PRINTS / f"{name}.pdf", format="A4", margin=margin)  # type: ignore[arg-type]


def load_pictures(page: Page) -> None:
    """Wait for the pictures that are fetched only when they come into sight."""
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.evaluate(_ALL_PICTURES)
    page.evaluate("scrollTo(0, 0)")
