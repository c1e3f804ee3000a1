"""The sweep ``auto`` where all is at hand: the model is open, and the data sets' samples are known."""

from negmerge.data.selection import split
from negmerge.decoding.dataset import Dataset
from negmerge.models.network import Network
from negmerge.spec import auto
from negmerge.spec.job import JobSpec


def with_sweep(spec: JobSpec, model: Network, forget: Dataset, retain: Dataset) -> JobSpec:
    """The spec with the points of its sweep ``auto`` chosen; any other spec as it is.

    Raises SelectionError for what the spec selects wrong, SpecError where ``auto`` has no pool for it.
    """
    if spec.sweep.auto is None:
        return spec
    parts = split(spec.forget, spec.retain, forget.index, retain.index, spec.rivals_compared())
    sizes = {name: tensor.numel() for name, tensor in model.original.items() if tensor.is_floating_point()}
    return auto.resolved(spec, len(parts.forget.train), auto.tower_parameters(sizes))
