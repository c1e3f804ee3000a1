"""What is given to be published: a job's folder, a model's, or the zip of one; and the card that belongs to it."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from negmerge.checkpoints.files import file_digest, load_tensors, placement
from negmerge.errors import ModelError
from negmerge.formats.families import FAMILIES
from negmerge.formats.hugging_face import files as hugging_face
from negmerge.formats.hugging_face.config import CONFIG_FILE
from negmerge.formats.shards import ENDING
from negmerge.formats.tokenizer_files import MAX_BYTES
from negmerge.models.hugging_face import TransformersFolder
from negmerge.models.loading import is_linearised, load_model
from negmerge.models.network import Network
from negmerge.naming import shown
from negmerge.spec import paths
from negmerge.spec.result import ResultDocument, load_result

CARD = "MODEL_CARD.md"
README = "README.md"
"""What a hub calls a model's card."""

_CONFIGS = {family.config_file for family in FAMILIES.values()}
_OF_A_MODEL = {family.weights_file for family in FAMILIES.values()} | _CONFIGS | {*MAX_BYTES, *hugging_face.MAX_BYTES}
"""The names of all files that a model's folder may have; nothing else in a zip is unpacked."""


@dataclass(frozen=True)
class Publication:
    """A model that loads, the files that make it up by name, and its card and its job's result, where there are any.

    digest: of a job's weights as its result says it, of another model's weights file (of shards, the first);
    ``sha256:…``.
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
def opened(given: Path, as_it_came: bool = False) -> Iterator[Publication]:
    """What is to be published of a job's folder, a model's folder, or a zip of a model's folder.

    as_it_came: of a job whose model came in a folder of transformers, that one rather than the library's.
    Only the files that the model is made of are taken: a job's result names samples, which are nobody's business.
    Raises ModelError where there is no model, or one that its card does not tell of; CheckpointError as ``load_model``.
    """
    if given.is_dir():
        yield _publication(given, as_it_came)
        return
    with tempfile.TemporaryDirectory() as room:
        _unpack(given, Path(room))
        yield _publication(Path(room), as_it_came)


def _publication(folder: Path, as_it_came: bool) -> Publication:
    wanted = [folder / name for name in ([paths.UNLEARNED_THEIRS] if as_it_came else []) + [paths.UNLEARNED]]
    model = next((one for one in wanted if one.is_dir()), folder)
    if not any((model / name).is_file() for name in _CONFIGS):
        raise ModelError(
            f"{shown(str(folder))} is no model: give a folder that `negmerge run` made, one with a config and weights "
            "as open_clip, timm or transformers has them, or the zip of one"
        )
    network = load_model(model)
    names = _names(model, network)
    result = load_result(folder) if (folder / paths.RESULT).is_file() else None
    digest = file_digest(model / names[1])
    if result is not None:
        digest = _measured(folder, model, network)
        if result.digests.unlearned != digest:
            raise ModelError(
                f"{shown(str(model))} holds other weights ({digest}) than its result was measured on "
                f"({result.digests.unlearned}): publish the folder as the job left it"
            )
    cards = (folder / CARD, folder / README)
    card = next((card for card in cards if card.is_file()), None)
    return Publication(network, {name: model / name for name in names}, card, result, digest)


def _names(model: Path, network: Network) -> list[str]:
    """The names of all files that a model's folder is made of: config, weights, what lies beside them."""
    if network.theirs is None:
        return [network.config_file, network.weights_file, *network.beside]
    return [CONFIG_FILE, *_weights_of(model, network.theirs, network.weights_file)]


def _weights_of(model: Path, theirs: TransformersFolder, usual: str) -> list[str]:
    """The weights of a folder of transformers, one file or shards and their index; then what lies beside."""
    if (model / usual).is_file():
        return [usual, *theirs.beside]
    shards = sorted({path.name for path, _ in placement(model).tensors.values()})
    return [*shards, usual + ENDING, *theirs.beside]


def _measured(folder: Path, model: Path, network: Network) -> str:
    """The digest of a job's weights as its result says it: of the library's file, whose bits the others have too.

    Raises ModelError where a folder of transformers has other weights than the library's beside it.
    """
    file = folder / paths.UNLEARNED / network.weights_file
    if network.theirs is None:
        return file_digest(model / network.weights_file)
    if not file.is_file():
        raise ModelError(f"{shown(str(folder))} has lost its {paths.UNLEARNED}: publish the folder as the job left it")
    measured = load_tensors(file)
    for name, tensor in network.original.items():
        if name not in measured or not torch.equal(tensor, measured[name]):
            raise ModelError(
                f"{shown(str(model))} holds other weights than {paths.UNLEARNED}, at {shown(name)}: "
                "publish the folder as the job left it"
            )
    return file_digest(file)


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
