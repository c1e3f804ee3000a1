"""What is given to be published: a job's folder, a model's, or the zip of one; and the card that belongs to it."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from negmerge.checkpoints.files import file_digest
from negmerge.errors import ModelError
from negmerge.formats.families import FAMILIES
from negmerge.formats.tokenizer_files import MAX_BYTES
from negmerge.models.loading import is_linearised, load_model
from negmerge.models.network import Network
from negmerge.naming import shown
from negmerge.spec.result import ResultDocument, load_result

UNLEARNED = "unlearned"
CARD = "MODEL_CARD.md"
README = "README.md"
"""What a hub calls a model's card."""

_CONFIGS = {family.config_file for family in FAMILIES.values()}
_OF_A_MODEL = {family.weights_file for family in FAMILIES.values()} | _CONFIGS | set(MAX_BYTES)
"""The names of all files that a model's folder may have; nothing else in a zip is unpacked."""


@dataclass(frozen=True)
class Publication:
    """A model that loads, the files that make it up by name, and its card and its job's result, where there are any.

    digest: of the weights file, ``sha256:…``.
    """

    network: Network
    files: dict[str, Path]
    card: Path | None
    result: ResultDocument | None
    digest: str

    @property
    def is_linearised(self) -> bool:
        """Whether its figures are those of the first-order expansion around the base model."""
        return self.result is not None and is_linearised(self.result.spec)


@contextmanager
def opened(given: Path) -> Iterator[Publication]:
    """What is to be published of a job's folder, a model's folder, or a zip of a model's folder.

    Only the files that the model is made of are taken: a job's result names samples, which are nobody's business.
    Raises ModelError where there is no model, or one that its card does not tell of; CheckpointError as ``load_model``.
    """
    if given.is_dir():
        yield _publication(given)
        return
    with tempfile.TemporaryDirectory() as room:
        _unpack(given, Path(room))
        yield _publication(Path(room))


def _publication(folder: Path) -> Publication:
    model = folder / UNLEARNED if (folder / UNLEARNED).is_dir() else folder
    if not any((model / name).is_file() for name in _CONFIGS):
        raise ModelError(
            f"{shown(str(folder))} is no model: give a folder that `negmerge run` made, one with a config and weights "
            "as open_clip or timm has them, or the zip of one"
        )
    network = load_model(model)
    if network.theirs is not None:
        raise ModelError(
            f"{shown(str(model))} is a folder of transformers: push it with the push_to_hub of its own class, or give "
            "the folder that a job made, whose card tells of it"
        )
    names = (network.config_file, network.weights_file, *network.beside)
    digest = file_digest(model / network.weights_file)
    result = load_result(folder) if (folder / "result.json").is_file() else None
    if result is not None and result.digests.unlearned != digest:
        raise ModelError(
            f"{shown(str(model))} holds other weights ({digest}) than its result was measured on "
            f"({result.digests.unlearned}): publish the folder as the job left it"
        )
    cards = (folder / CARD, folder / README)
    card = next((card for card in cards if card.is_file()), None)
    return Publication(network, {name: model / name for name in names}, card, result, digest)


def _unpack(file: Path, room: Path) -> None:
    """The files of a model out of a zip, by their last names."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.filename in _OF_A_MODEL | {CARD, README}:
                    with archive.open(member) as inside, (room / member.filename).open("wb") as outside:
                        shutil.copyfileobj(inside, outside)
    except FileNotFoundError:
        raise ModelError(f"there is no {shown(str(file))}: give a model's folder, or the zip of one") from None
    # zipfile's own words for: no zip; a packing that it does not know; a password (RuntimeError); cut off
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        raise ModelError(f"{shown(str(file))} is no zip of a model's folder, or a damaged one") from None
