"""Files of nested values with large arrays: for caches, so fast to read, never executed, and any damage is found.

A file is a JSON text that describes the value, the arrays one after the other, and the SHA-256 of all that. Arrays are
mapped into memory as they lie: a chip of a gigabyte needs no second one while it is read.
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

MAGIC = b"crossgate pack 1"  # 16 bytes, the format's version at their end
ALIGN = 64  # bytes between starts of arrays, a cache line
MAPPED = 2**20  # bytes from which a file is mapped, ours; smaller ones are read, as each map keeps a file open
_LENGTH, _DIGEST = struct.Struct("<Q"), hashlib.sha256().digest_size
_TYPES = {np.dtype(name).str: np.dtype(name) for name in ("?", "<i4", "<i8", "<u8", "<f4", "<f8")}
_PLAIN = (bool, int, float, str)

Array = np.ndarray[Any, Any]


def pack(
    path: Path, value: object, classes: Mapping[str, type], given: Mapping[str, object] | None = None, about: str = ""
) -> int:
    """Write a value to a file, whole or not at all, and return the file's bytes.

    It may hold None, booleans, numbers, texts, slices, arrays, and lists, tuples, dictionaries and `classes` (by name:
    dataclasses and named tuples) of these. given: what is not stored but said by name, as the reader has it as well.
    about: one sentence for lists.
    Raises OSError if the file cannot be written, TypeError for what cannot be described.
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
    """Return the value that `pack` wrote with these classes and given values; arrays can be written to, the file stays.

    Raises ParameterError, saying what is wrong, if the file is damaged or foreign, OSError if it cannot be read.
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
        raise ParameterError("it does not begin as such a file does")
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
        raise ParameterError(f"it holds something else: {' '.join(str(error).split())[:200]}") from None


def about(path: Path) -> str:
    """Return the sentence that a file says of itself, "" if there is none; nothing else of it is looked at."""
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
    """Axes in the order in which they lie in memory: products of arrays that lie otherwise sum in another order."""
    return [int(axis) for axis in np.argsort([-abs(step) for step in held.strides], kind="stable")]


def _described(value: object, names: Mapping[type, str], given: Mapping[str, object], arrays: list[Array]) -> object:
    """Describe a value in JSON's words; every container becomes an object with one key, which says what it is."""
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
    """Fields that a dataclass or a named tuple is made from."""
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
    """Return the array that lies `at` bytes behind the first, once type, shape and place agree with the file."""
    dtype = _TYPES[kind]
    if sorted(order) != list(range(len(shape))) or not all(type(n) is int and n >= 0 for n in (*shape, at)):
        raise ParameterError(f"an array has shape {shape} in the order {order} at {at}")
    count = math.prod(shape)
    if first + at + count * dtype.itemsize > end:
        raise ParameterError(f"an array of shape {shape} ends behind the file")
    flat = np.frombuffer(held, dtype, count, first + at) if count else np.empty(0, dtype)
    return flat.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
