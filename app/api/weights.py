"""The unlearned weights of a job as what goes out: as the job chose λ, or at another one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.api.files import Content, stored
from app.errors import NotFound
from app.record.tables import Artifact
from app.store.objects import Store
from negmerge.formats import strict_json
from negmerge.formats.hugging_face.config import CONFIG_FILE
from negmerge.spec import paths

_WEIGHTS_FILE = ".safetensors"


def folder(store: Store, files: Mapping[str, Artifact], scale: float | None = None) -> list[Content]:
    """The folder that open_clip or timm loads. files: the job's, by path. scale: another λ than the job chose.

    Raises NotFound where the job kept nothing that another λ could be made of.
    """
    found = [stored(store, file) for path, file in files.items() if path.startswith(paths.UNLEARNED)]
    return found if scale is None else [_scaled(store, files, content, scale) for content in found]


def theirs(store: Store, files: Mapping[str, Artifact], job_id: str, scale: float | None = None) -> list[Content]:
    """The same in the layout of transformers. Raises NotFound, also where the base model did not come in it."""
    found = [stored(store, file) for path, file in files.items() if path.startswith(paths.UNLEARNED_THEIRS)]
    if not found:
        raise NotFound(f"the model of job {job_id!r} did not come in a folder of transformers: ask for ?format=zip")
    if scale is None:
        return found
    config = files[paths.UNLEARNED_THEIRS + CONFIG_FILE]
    document = strict_json.loads(b"".join(store.stream(config.key, 0, config.bytes)))
    return [_scaled(store, files, content, scale, document) for content in found]


def zip_name(job_id: str, scale: float | None = None) -> str:
    """What the zip of the folder is called."""
    return paths.at_scale(f"{job_id}-unlearned.zip", scale)


def single_file(job_id: str, contents: Sequence[Content], scale: float | None = None) -> Content:
    """The one file of weights in the folder, at another scale with that in its name. Raises NotFound."""
    weights = [content for content in contents if content.path.endswith(_WEIGHTS_FILE)]
    if len(weights) != 1:
        raise NotFound(f"the weights of job {job_id!r} are {len(weights)} files: ask for ?format=zip")
    return replace(weights[0], path=paths.at_scale(weights[0].path, scale))


def _scaled(store: Store, files: Mapping[str, Artifact], content: Content, scale: float, config: Any = None) -> Content:
    """A file of an unlearned folder at a scale: the weights are others then, all else is the same. Raises NotFound.

    config: of transformers, where the folder is in that layout.
    """
    if not content.path.endswith(_WEIGHTS_FILE):
        return content
    if paths.BASE not in files or paths.TASK_VECTOR not in files:
        raise NotFound(
            f"job {files[content.path].job_id!r} is of a version that kept no {paths.BASE}: "
            f"use `negmerge apply` with the base model and {paths.TASK_VECTOR}, or submit the job again"
        )
    from app.store.scaled import ScaledWeights  # here: it loads numpy, which starting the service does not wait for

    weights = ScaledWeights(store, files[content.path], files[paths.BASE], files[paths.TASK_VECTOR], scale, config)
    return replace(content, etag=f'"{weights.tag}"', sha256=None, stream=weights.stream)
