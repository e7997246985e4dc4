"""Files of nested values with large arrays, for the cache: fast to read, never executed, and damage is detected.

A file holds a JSON text that describes the value, the arrays one after another, and the SHA-256 of both. Arrays are
mapped into memory and not copied, so a chip of a gigabyte needs one gigabyte while it is read.
"""

import hashlib
import json
import math
import mmap
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devices.errors import ParameterError
from mapping.files.regular_files import open_regular

MAGIC = b"crossgate pack 1"  # 16 bytes that end in the format's version
ALIGN = 64  # bytes between starts of arrays, a cache line
MAPPED = 2**20  # bytes from which a file is mapped, ours; smaller files are read, because each map keeps a file open
_LENGTH, _DIGEST = struct.Struct("<Q"), hashlib.sha256().digest_size
_TYPES = {np.dtype(name).str: np.dtype(name) for name in ("?", "<i4", "<i8", "<u8", "<f4", "<f8")}
_PLAIN = (bool, int, float, str)

Array = np.ndarray[Any, Any]


def pack(
    path: Path, value: object, classes: Mapping[str, type], given: Mapping[str, object] | None = None, about: str = ""
) -> int:
    """Write a value to a file, completely or not at all, and return the file's size in bytes.

    value: None, booleans, numbers, texts, slices, arrays, and lists, tuples, dictionaries and `classes` of these.
    classes: dataclasses and named tuples by name.  given: objects that are not stored but referred to by name, because
    the reader has them too.  about: one sentence that describes the value in lists.
    Raises OSError if the file cannot be written, TypeError for a value that cannot be packed.
    """
    names, arrays = {kind: name for name, kind in classes.items()}, list[Array]()
    described = _described(value, names, given or {}, arrays)
    at, table = 0, []
    for held in arrays:
        table.append([held.dtype.str, list(held.shape), _order(held), at])
        at += -(-held.nbytes // ALIGN) * ALIGN
    text = json.dumps({"about": about, "value": described, "arrays": table}).encode()
    handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            digest = hashlib.sha256()
            for piece in (MAGIC, _LENGTH.pack(len(text)), text, bytes(_gap(len(text)))):
                file.write(piece)
                digest.update(piece)
            for held, (_, _, order, _) in zip(arrays, table, strict=True):
                flat = np.ascontiguousarray(held.transpose(order)).reshape(-1).view(np.uint8).data
                for part in (flat, bytes(-held.nbytes % ALIGN)):
                    file.write(part)
                    digest.update(part)
            file.write(digest.digest())
            size = file.tell()
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return size


def unpack(path: Path, classes: Mapping[str, type], given: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
    """Return the value that `pack` wrote with these classes and given objects; writing to its arrays leaves the file.

    Raises ParameterError if the file is damaged or of another kind, OSError if it cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < len(MAGIC) + _LENGTH.size + _DIGEST:
            raise ParameterError(f"it has only {size} bytes")
        held: Any = file.read() if size < MAPPED else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    if size < MAPPED:
        held = bytearray(held)
    whole = memoryview(held)
    if whole[: len(MAGIC)] != MAGIC:
        raise ParameterError("it is not a file of this format and version")
    if hashlib.sha256(whole[:-_DIGEST]).digest() != whole[-_DIGEST:]:
        raise ParameterError("its checksum differs")
    (length,) = _LENGTH.unpack_from(whole, len(MAGIC))
    start = len(MAGIC) + _LENGTH.size
    try:
        header = json.loads(bytes(whole[start : start + length]))
        first = start + length + _gap(length)
        arrays = [_array(held, first, size - _DIGEST, *entry) for entry in header["arrays"]]
        return _restored(header["value"], classes, given or {}, arrays)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError, AttributeError, ParameterError) as error:
        raise ParameterError(f"its content is not the expected one: {' '.join(str(error).split())[:200]}") from None


def about(path: Path) -> str:
    """Return the sentence that describes a file's value, "" if there is none; only the header is read."""
    try:
        with open_regular(path) as file:
            start = file.read(len(MAGIC) + _LENGTH.size)
            (length,) = _LENGTH.unpack_from(start, len(MAGIC))
            whole = start[: len(MAGIC)] == MAGIC and length <= os.fstat(file.fileno()).st_size
            text = json.loads(file.read(length))["about"] if whole else ""
    except (OSError, struct.error, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return text if isinstance(text, str) else ""


def _gap(length: int) -> int:
    """Bytes between a header text of this length and the arrays."""
    return -(len(MAGIC) + _LENGTH.size + length) % ALIGN


def _order(held: Array) -> list[int]:
    """Axes in memory order; it is kept, because a matrix product may sum in another order on another memory layout."""
    return [int(axis) for axis in np.argsort([-abs(step) for step in held.strides], kind="stable")]


def _described(value: object, names: Mapping[type, str], given: Mapping[str, object], arrays: list[Array]) -> object:
    """Describe a value for JSON; every container becomes an object with one key, which names its kind."""
    for name, each in given.items():
        if value is each:
            return {"given": name}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.str not in _TYPES:
            raise TypeError(f"an array of {value.dtype} cannot be packed")
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if type(value) in names:
        items = [(each, getattr(value, each)) for each in _names(type(value))]
        return {names[type(value)]: {each: _described(item, names, given, arrays) for each, item in items}}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return {type(value).__name__: [_described(each, names, given, arrays) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[_described(part, names, given, arrays) for part in item] for item in value.items()]}
    raise TypeError(f"{type(value).__name__} cannot be packed")


def _names(kind: type) -> tuple[str, ...]:
    """Names of the arguments that make a dataclass or a named tuple."""
    if is_dataclass(kind):
        return tuple(each.name for each in fields(kind) if each.init)
    return tuple(getattr(kind, "_fields", ()))


def _restored(
    entry: Any,  # noqa: ANN401
    classes: Mapping[str, type],
    given: Mapping[str, object],
    arrays: list[Array],
) -> Any:  # noqa: ANN401
    """Build the value that an entry describes."""
    if not isinstance(entry, dict):
        return entry
    ((kind, held),) = entry.items()
    if kind == "given":
        return given[held]
    if kind == "array":
        return arrays[held]
    if kind == "slice":
        return slice(*held)
    if kind in ("list", "tuple"):
        parts = [_restored(each, classes, given, arrays) for each in held]
        return parts if kind == "list" else tuple(parts)
    if kind == "dict":
        return {_restored(k, classes, given, arrays): _restored(v, classes, given, arrays) for k, v in held}
    return classes[kind](**{name: _restored(each, classes, given, arrays) for name, each in held.items()})


def _array(held: Any, first: int, end: int, kind: str, shape: list[int], order: list[int], at: int) -> Array:  # noqa: ANN401
    """Return the array that begins `at` bytes after the first one; type, shape and place are checked."""
    dtype = _TYPES[kind]
    if sorted(order) != list(range(len(shape))) or not all(type(n) is int and n >= 0 for n in (*shape, at)):
        raise ParameterError(f"an array has shape {shape} in the order {order} at {at}")
    count = math.prod(shape)
    if first + at + count * dtype.itemsize > end:
        raise ParameterError(f"an array of shape {shape} ends after the end of the file")
    flat = np.frombuffer(held, dtype, count, first + at) if count else np.empty(0, dtype)
    return flat.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
