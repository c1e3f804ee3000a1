"""What torch.save wrote, unpickled by torch's restricted reader: tensors and plain values, never code.

Trainers leave more beside the weights: arguments, paths, numpy's numbers. What is known to be harmless by its name
becomes an ``Inert`` object, whose class is ours; the class that the file names is not even imported.
"""

import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.serialization import safe_globals

from negmerge.errors import CheckpointError

_NUMBERS = ("Bool", "Float16", "Float32", "Float64", "Int32", "Int64", "Str")
_PLAIN = (
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "set",
    "slice",
    "str",
    "tuple",
)
OBJECTS = (
    *(f"{home}.{kind}" for home in ("builtins", "__builtin__") for kind in _PLAIN),
    *("argparse.Namespace", "types.SimpleNamespace", "typing.Any", "uuid.UUID", "_codecs.encode"),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath"),
    *("pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta", "datetime.timezone"),
    *("decimal.Decimal", "fractions.Fraction"),
    *("numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
    *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy._core.numeric._frombuffer"),
    *(f"numpy.dtypes.{kind}DType" for kind in _NUMBERS),
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig", "omegaconf.base.ContainerMetadata"),
    *("omegaconf.base.Metadata", "omegaconf.nodes.AnyNode", "omegaconf.nodes.StringNode"),
)
"""Names that stand for plain data in trainers' files."""
MAPPINGS = (
    *("collections.defaultdict", "easydict.EasyDict", "addict.addict.Dict", "yacs.config.CfgNode"),
    *("lightning_fabric.utilities.data.AttributeDict", "lightning.fabric.utilities.data.AttributeDict"),
    *("pytorch_lightning.utilities.parsing.AttributeDict", "lightning.pytorch.utilities.parsing.AttributeDict"),
)
"""The same of what is filled key by key, which torch's reader does with dictionaries alone."""

LEGACY_MARK = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""The number with which torch.save's files began before they were zips, as a pickle has it."""

_UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError),
    *(ValueError, struct.error),
)
"""What torch.load raises for what torch.save never wrote, besides UnpicklingError."""


class Inert:
    """Stands for an object that is not ours to have: it takes whatever a pickle gives it and keeps nothing."""

    def __new__(cls, *_args: object) -> "Inert":
        return object.__new__(cls)

    def __init__(self, *_args: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


class InertMapping:
    """Stands for a mapping: an empty dictionary comes of it."""

    def __new__(cls, *_args: object) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


def unpickled(file: Path) -> Any:
    """What the file holds. Raises CheckpointError, which names what is not loaded; nothing in the file is run."""
    _check_stored(file)
    try:
        # opened here, as torch.load takes a file by the ending of its name
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),
            safe_globals(_inert()),
            file.open("rb") as opened,
        ):
            return torch.load(opened, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if not found and (protocol := _protocol(file)) > _READ:
            raise CheckpointError(
                f"{file} is written with pickle protocol {protocol}, which is not read: "
                "save it with torch.save's default protocol"
            ) from None
        what = found[1].rstrip(".") if found else "what no state dict holds"
        raise CheckpointError(
            f"{file} holds {what}, which is not loaded, as a pickle may run code: save model.state_dict() alone"
        ) from None
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {file}") from None
    except _UNREADABLE as error:
        if "TorchScript" in str(error):
            raise CheckpointError(f"{file} is TorchScript, which is code: {_SAVE_SCRIPT}") from None
        raise CheckpointError(
            f"{file} is cut off, or nothing that torch.save writes of a state dict: save model.state_dict() again"
        ) from None


def _check_stored(file: Path) -> None:
    """Raise CheckpointError for tensors that are packed: torch.save packs none, and a few bytes may be gigabytes."""
    try:
        with zipfile.ZipFile(file) as archive:
            data = [member for member in archive.infolist() if "/data/" in member.filename]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return  # another kind of file, or a zip that zipfile is too old for: its reader judges it
    if any(member.compress_type != zipfile.ZIP_STORED for member in data):
        raise CheckpointError(f"{file} was packed again after torch.save wrote it: give the file as it was written")


_READ = 3
"""The highest protocol that torch's restricted reader knows all of; torch.save's own is 2."""


def _protocol(file: Path) -> int:
    """The protocol of the file's pickle; 0 where it does not say."""
    try:
        with zipfile.ZipFile(file) as archive:
            inner = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(inner) as pickled:
                start = pickled.read(2)
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile):
        with file.open("rb") as opened:
            start = opened.read(2)
    return start[1] if start[:1] == pickle.PROTO and len(start) == 2 else 0


_SAVE_SCRIPT = "where you trust it, load it with torch.jit.load, and torch.save its state_dict()"


def _inert() -> list[Any]:
    return [*((Inert, name) for name in OBJECTS), *((InertMapping, name) for name in MAPPINGS)]
