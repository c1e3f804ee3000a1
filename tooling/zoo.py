"""``make zoo``: ask open_clip and timm what they know, and write it where the API, which has no torch, reads it."""

import json
from importlib.metadata import version

import open_clip
import timm

from app.intake.zoo import FILE


def main() -> None:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")


def text() -> str:
    """The file for the libraries that are installed: JSON, a name a line, all sorted."""
    tags: dict[str, list[str]] = {}
    for architecture, tag in sorted(open_clip.list_pretrained()):
        tags.setdefault(architecture, []).append(tag)
    document = {
        "versions": {name: version(name) for name in ("open_clip_torch", "timm")},
        "architectures": sorted(open_clip.list_models()),
        "tags": tags,
        "classifiers": sorted({*timm.list_models(), *timm.models.get_deprecated_models()}),
    }
    return json.dumps(document, indent=1) + "\n"


if __name__ == "__main__":
    main()
