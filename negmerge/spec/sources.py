"""Where a model's weights and a data set come from: each reference is told apart once, here. No torch.

A reference is text that a person wrote; what it means is one of a few kinds, for ``match`` to go through. Whether the
thing is there, and whether this process may have it, is judged where it is opened.
"""

from dataclasses import dataclass

from negmerge.spec.hub import SCHEME


@dataclass(frozen=True)
class RegisteredModel:
    """A model of this service, by its ``mdl_…`` id."""

    id: str


@dataclass(frozen=True)
class WeightsUri:
    """Weights behind a URI with a scheme and ``://``, ``file://`` too."""

    uri: str


@dataclass(frozen=True)
class WeightsPath:
    """Weights at an absolute path, or at what begins with ``file:`` and is no URI for want of ``//``."""

    path: str


@dataclass(frozen=True)
class HubModel:
    """A folder on a hub of Hugging Face's; ``negmerge.spec.hub`` judges the reference."""

    reference: str


@dataclass(frozen=True)
class RegistryTag:
    """Published weights of the architecture, by their tag in the registry of open_clip or timm.

    A relative folder looks the same. Only a command line means one, which asks the disk before it asks for the kind.
    """

    tag: str


StoredSource = WeightsUri | WeightsPath | HubModel | RegistryTag
"""What the service keeps of a model that it was told of and did not receive."""

ModelSource = RegisteredModel | StoredSource
"""What ``base_model.weights`` may be."""


def model_source(weights: str) -> ModelSource:
    """What a spec's ``base_model.weights`` means."""
    if weights.startswith("mdl_"):
        return RegisteredModel(weights)
    if weights.startswith("file:") and "://" not in weights:
        return WeightsPath(weights)
    return stored_source(weights)


def stored_source(text: str) -> StoredSource:
    """What a registered model's row names. What was refused as a URI at registration is a tag here, ``file:x`` too."""
    if text.startswith(SCHEME):
        return HubModel(text)
    if "://" in text:
        return WeightsUri(text)
    if text.startswith("/"):
        return WeightsPath(text)
    return RegistryTag(text)


@dataclass(frozen=True)
class RegisteredDataset:
    """A data set of this service, by its ``ds_…`` id."""

    id: str


@dataclass(frozen=True)
class DatasetUri:
    """An archive or a folder, by a URI or a path. leave_out: images that cannot be read are left out, not refused."""

    uri: str
    leave_out: bool = False


@dataclass(frozen=True)
class PublishedDataset:
    """A published data set by torchvision's name for it, and the folder that its files lie in."""

    name: str
    root: str


DatasetSource = RegisteredDataset | DatasetUri | PublishedDataset
"""What a data set reference names, whatever is selected from it. Two that are equal are the same data set."""


def called(source: ModelSource | DatasetSource) -> str:
    """What to call it for a reader: its id, its published name, or the last part of where it lies."""
    match source:
        case RegisteredModel(name) | RegisteredDataset(name) | PublishedDataset(name) | RegistryTag(name):
            return last_part(name) if isinstance(source, RegistryTag) else name
        case HubModel(reference):
            return last_part(reference).partition("@")[0]
        case WeightsUri(place) | WeightsPath(place) | DatasetUri(place):
            return last_part(place)


def on_hub(source: ModelSource) -> str | None:
    """Where it lies on a hub, ``owner/name@commit``; None where it comes from elsewhere."""
    return source.reference.removeprefix(SCHEME) if isinstance(source, HubModel) else None


def last_part(path: str) -> str:
    """The last part of a path or a URI, without what may hold a secret: query, fragment, credentials."""
    return path.split("?")[0].split("#")[0].rstrip("/").rpartition("/")[2]
