"""A stated subset of an archive of images: of each class the first samples in the order of SHA-256 over their names."""

import hashlib
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath

from negmerge.checkpoints.files import atomic_path


def write_subset(source: Path, target: Path, sizes: dict[str, int]) -> None:
    """Copy images from a zip of ``part/class/name`` files, byte for byte, into a new zip of the same layout.

    sizes: part → how many of each class. The same source always gives the same bytes.
    """
    with zipfile.ZipFile(source) as whole:
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for info in whole.infolist():
            parts = PurePosixPath(info.filename).parts
            if not info.is_dir() and len(parts) == 3 and parts[0] in sizes:
                groups[parts[0], parts[1]].append(info.filename)
        with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as subset:
            for (part, _), names in sorted(groups.items()):
                for name in sorted(sorted(names, key=_order)[: sizes[part]]):
                    subset.writestr(zipfile.ZipInfo(name), whole.read(name))


def _order(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
