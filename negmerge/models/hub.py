"""A model's folder from a hub of Hugging Face's: one commit of a repository, safetensors alone, within a limit.

Without a token, whatever this machine has: whoever names a repository gets what everybody gets.
"""

import secrets
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError, of whichever client it has
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from negmerge.errors import ModelError
from negmerge.formats.families import OPEN_CLIP, TIMM
from negmerge.formats.hugging_face.files import MAX_BYTES
from negmerge.formats.shards import ENDING, MAX_INDEX_BYTES, MAX_SHARDS
from negmerge.naming import shown
from negmerge.progress import OnStep, ignore
from negmerge.spec.hub import HubReference

MAX_CONFIG_BYTES = 2**20
SECONDS = 30
"""How long an answer may take to begin."""


def fetch(
    reference: HubReference, folder: Path, max_bytes: int, endpoint: str | None = None, on_step: OnStep = ignore
) -> None:
    """Download a model's files into a new folder. endpoint: the hub; by default huggingface_hub's own.

    ``on_step`` counts bytes, file by file. Raises ModelError where the repository or the commit is not there, has no
    safetensors of a family that is served, or has more than ``max_bytes`` of them.
    """
    name = f"{reference.repository}@{reference.revision[:12]}"
    endpoint = endpoint or constants.ENDPOINT
    try:
        sizes = _sizes(reference, endpoint)
        wanted = _wanted(sizes, name)
        total = sum(wanted.values())
        if total > max_bytes:
            raise ModelError(f"{name} has {total} bytes in the files of its model, of at most {max_bytes}")
        bar = _counting(on_step, total)
        for file, size in wanted.items():
            path = hf_hub_download(
                reference.repository,
                file,
                revision=reference.revision,
                endpoint=endpoint,
                local_dir=folder,
                token=False,
                etag_timeout=SECONDS,
                tqdm_class=bar,
            )
            if Path(path).stat().st_size != size:
                raise ModelError(f"{file} of {name} has not the {size} bytes that the hub says: try again")
    except RepositoryNotFoundError:
        raise ModelError(f"the hub has no repository {reference.repository!r} that everybody may read") from None
    except RevisionNotFoundError:
        raise ModelError(f"{reference.repository!r} has no commit {reference.revision} on the hub") from None
    except (HTTPError, OSError, ValueError) as error:
        raise ModelError(f"{name} cannot be had from the hub here: {str(error)[:300]}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # what huggingface_hub notes there is no file of the model


def _counting(on_step: OnStep, total: int) -> type[tqdm]:
    """A progress bar that shows nothing and counts the bytes of all files for ``on_step``, which may stop it."""
    done = 0

    class Counting(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            nonlocal done
            done += int(n or 0)
            on_step(done, max(done, total), None)

    return Counting


def _sizes(reference: HubReference, endpoint: str) -> dict[str, int]:
    """The files at the repository's root → their bytes."""
    api = HfApi(endpoint=endpoint, token=False)
    found = api.model_info(reference.repository, revision=reference.revision, files_metadata=True, timeout=SECONDS)
    return {one.rfilename: one.size or 0 for one in found.siblings or [] if "/" not in one.rfilename}


def _wanted(sizes: dict[str, int], name: str) -> dict[str, int]:
    """The files of the model's folder among those that are there. Raises ModelError."""
    family = next((one for one in (OPEN_CLIP, TIMM) if one.config_file in sizes), None)
    if family is None:
        raise ModelError(f"{name} has no {OPEN_CLIP.config_file} and no {TIMM.config_file}: it is no model served here")
    index = family.weights_file + ENDING
    stem = family.weights_file.removesuffix(".safetensors")
    weights = [family.weights_file] if family.weights_file in sizes else []
    if not weights and index in sizes:
        weights = [file for file in sizes if file.startswith(f"{stem}-") and file.endswith(".safetensors")]
    if not weights or len(weights) > MAX_SHARDS:
        raise ModelError(f"{name} has no {family.weights_file}: only safetensors are fetched, never a pickle")
    small = MAX_BYTES | {family.config_file: MAX_CONFIG_BYTES, index: MAX_INDEX_BYTES}
    for file, most in small.items():
        if sizes.get(file, 0) > most:
            raise ModelError(f"{shown(file)} of {name} has {sizes[file]} bytes, of at most {most}")
    others = [file for file in small if file in sizes and (file != index or family.weights_file not in sizes)]
    return {file: sizes[file] for file in (*others, *weights)}


def cached(reference: HubReference, max_bytes: int) -> Path:
    """The model's folder in huggingface_hub's cache, fetched once from its own hub. Raises as ``fetch``."""
    kept = Path(constants.HF_HUB_CACHE) / "negmerge" / reference.repository.replace("/", "--") / reference.revision
    if not kept.exists():
        unfinished = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}")
        try:
            fetch(reference, unfinished, max_bytes)
            unfinished.rename(kept)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return kept
