"""The file format of networks: an .npz file of plain arrays with a JSON header.

Nothing in a file is executed, and every size is checked before an array is allocated.
"""

import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.files.regular_files import open_regular
from mapping.networks.graph import Network, plain_card
from mapping.networks.layers.base import Layer, Shape
from mapping.networks.layers.convolutions import Attention, DynamicConv
from mapping.networks.layers.kinds import KINDS, named_arrays

_FORMAT, _VERSION = "crossgate network", 1
_SHORTEST_CODED = 1024  # values; in a shorter array the entry of the scale takes as many bytes as codes save; ours
_LONGEST_REASON = 400  # characters of a library's message about a damaged file, which may quote the file; ours
_LARGEST_HEADER, _LARGEST_FILE = 2**24, 2**32  # largest unpacked sizes in bytes, 16 MiB and 4 GiB; ours


def save_network(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to `path` (.npz), completely or not at all: a JSON header and one member per array.

    An array is stored as 8-bit codes with a scale, or as float32, if that is exact. The same network gives the same
    bytes.
    Raises OSError if the folder cannot be written.
    """
    path = Path(path)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "name": network.name,
        "input_shape": network.input_shape,
        "classes": network.classes,
        "card": network.card,
        "layers": [_described(layer) for layer in network.layers],
    }
    text = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            arrays: dict[str, np.ndarray[Any, Any]] = {}
            for key, held in named_arrays(network.layers):
                arrays |= _coded(key, held) or {key: _narrow(held)}
            np.savez(file, allow_pickle=False, header=np.frombuffer(text, dtype=np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_network(path: str | os.PathLike[str]) -> Network:
    """Read a network that `save_network` wrote; nothing in the file is executed.

    Raises ParameterError if there is no such file, or it is damaged, of another format or of a later version.
    """

    def build(archive: zipfile.ZipFile) -> Network:
        header = _read_header(archive)
        if sum(member.file_size for member in archive.infolist()) > _LARGEST_FILE:
            raise ParameterError(f"its arrays unpack to more than {_LARGEST_FILE >> 30} GiB")
        layers = [_restored(archive, index, entry) for index, entry in enumerate(header["layers"])]
        return Network(header["name"], header["input_shape"], header["classes"], tuple(layers), header["card"])

    return _opened(path, build)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the card of a stored network without its arrays.

    Raises ParameterError if there is no such file, or it is damaged, of another format or of a later version.
    """

    def card(archive: zipfile.ZipFile) -> dict[str, Any]:
        return plain_card(_read_header(archive)["card"])

    return _opened(path, card)


Result = TypeVar("Result")


def _opened(path: str | os.PathLike[str], read: Callable[[zipfile.ZipFile], Result]) -> Result:
    """Read from the archive at `path`; any error about a damaged file becomes a ParameterError of one sentence."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return read(archive)
    except FileNotFoundError:
        raise ParameterError(f"there is no network file {os.fspath(path)}") from None
    except Exception as error:  # noqa: BLE001  (zip, zlib, npy, json and our own checks each have their own kinds)
        reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
        raise ParameterError(f"{os.fspath(path)} is not a sound network file: {reason}") from None


def _read_header(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Read and check the JSON header."""
    if "header.npy" not in archive.namelist():
        raise ParameterError("it has no header of a network file")
    if archive.getinfo("header.npy").file_size > _LARGEST_HEADER:
        raise ParameterError("its header is larger than any network needs")
    with archive.open("header.npy") as stream:
        shape, dtype = _array_header(stream)
        if dtype != np.dtype(np.uint8) or len(shape) != 1:
            raise ParameterError("its header is not text")
        text = stream.read()
    if len(text) != shape[0]:
        raise ParameterError("its header is cut short")
    header = json.loads(text.decode())
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ParameterError("its header is not that of a network file")
    if header.get("version") != _VERSION:
        raise ParameterError(f"its format version is {header.get('version')!r}, but this program reads {_VERSION}")
    wanted = {"name": str, "input_shape": list, "classes": list, "card": dict, "layers": list}
    for key, kind in wanted.items():
        if not isinstance(header.get(key), kind):
            raise ParameterError(f"{key!r} in its header is missing or of a wrong type")
    return header


def _array_header(stream: IO[bytes]) -> tuple[Shape, np.dtype[Any]]:
    """Read shape and type of the array that starts here; Fortran order, which we never write, is refused."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ParameterError(f"an array has version {version} of the npy format, not (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran and len(shape) > 1:
        raise ParameterError("an array is in Fortran order")
    return tuple(shape), dtype


def _read_array(archive: zipfile.ZipFile, key: str, shape: object) -> FloatArray:
    """Read one array after a check that its declared shape, its own header and its size agree."""
    if f"{key}.npy" not in archive.namelist():
        raise ParameterError(f"the array {key} is missing")
    with archive.open(f"{key}.npy") as stream:
        found, dtype = _array_header(stream)
        if dtype not in (np.dtype("<f4"), np.dtype("<f8"), np.dtype("i1")):
            raise ParameterError(f"the array {key} must be float32, float64 or int8, got {dtype}")
        if list(found) != shape:
            raise ParameterError(f"the array {key} has shape {list(found)}, the header says {shape}")
        size = math.prod(found) * dtype.itemsize
        if archive.getinfo(f"{key}.npy").file_size - stream.tell() != size:
            raise ParameterError(f"the array {key} is not {size} bytes long")
        data = stream.read()
    if len(data) != size:
        raise ParameterError(f"the array {key} is cut short")
    held: FloatArray = np.frombuffer(data, dtype=dtype).reshape(found).astype(np.float64)
    return held if dtype != np.dtype("i1") else held * float(_read_array(archive, f"{key}.scale", []))


def _described(layer: Layer | Attention) -> dict[str, Any]:
    """Describe a layer for the header: its kind, its plain fields and the shapes of its arrays."""
    entry: dict[str, Any] = {"class": type(layer).__name__} if isinstance(layer, Layer) else {}
    added = layer.added if isinstance(layer, Layer) else ()
    for item in fields(layer):
        value = getattr(layer, item.name)
        if item.name in added and value == item.default:
            continue  # older programs can then read the file
        if item.name in layer.arrays:
            entry[item.name] = None if value is None else list(value.shape)
        else:
            entry[item.name] = _described(value) if isinstance(value, Attention) else value
    return entry


def _restored(archive: zipfile.ZipFile, index: int, entry: object) -> Layer:
    """Build the layer that an entry of the header describes."""
    if not isinstance(entry, dict) or entry.get("class") not in KINDS:
        raise ParameterError(f"layer {index} is of no known kind")
    kind = KINDS[entry["class"]]
    values = _values(archive, kind, f"{index}", {key: value for key, value in entry.items() if key != "class"})
    if kind is DynamicConv:
        attention = values.get("attention")
        if not isinstance(attention, dict):
            raise ParameterError(f"layer {index} has no attention")
        parts = _values(archive, Attention, f"{index}.attention", attention)
        try:
            values["attention"] = Attention(**parts)
        except ParameterError as error:
            raise ParameterError(f"{values['name']}.{error}") from None
    return kind(**values)


def _values(
    archive: zipfile.ZipFile, kind: type[Layer] | type[Attention], key: str, entry: dict[str, Any]
) -> dict[str, Any]:
    """Field values of a layer: arrays read, lists as tuples."""
    wanted = {item.name for item in fields(kind)}
    added = set(kind.added) if issubclass(kind, Layer) else set()
    if not wanted - added <= set(entry) <= wanted:
        raise ParameterError(f"layer {key} must have the fields {sorted(wanted)}, got {sorted(entry)}")
    values: dict[str, Any] = {}
    for name, value in entry.items():
        if name in kind.arrays:
            values[name] = None if value is None else _read_array(archive, f"{key}.{name}", value)
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return values


def _coded(key: str, values: FloatArray) -> dict[str, np.ndarray[Any, Any]] | None:
    """Return int8 codes and their scale if they are exact and shorter than the values, else None."""
    top = float(np.abs(values).max())
    if values.size < _SHORTEST_CODED or not top > 0.0:
        return None
    scale = top / 127.0
    codes = np.rint(values / scale).astype(np.int8)
    same = (codes * scale).view(np.int64) == values.view(np.int64)  # bit for bit, so no -0.0
    return {key: codes, f"{key}.scale": np.array(scale)} if np.all(same) else None


def _narrow(values: FloatArray) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
    """Return float32 values if they are exact, else float64 values; both are little-endian."""
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype("<f4")
    same = single.astype(np.float64).view(np.int64) == values.view(np.int64)  # bit for bit, -0.0 too
    return single if np.all(same) else values.astype("<f8")
