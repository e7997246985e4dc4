"""Arrays in .npy, .npz and IDX files; sizes are checked before anything is allocated."""

import gzip
import math
import re
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from devices.errors import ParameterError
from mapping.files.regular_files import open_regular

PIECE = 2**20  # bytes read at once
LARGEST_IDX = 2**31  # largest size of an unpacked IDX file in bytes, ours; MNIST's largest has 47 MB
LARGEST_AXIS = 2**48  # entries along an axis, which an array without any entry may announce as well
#: exceptions of numpy's header reader for damaged headers
DAMAGE = (ValueError, TypeError, OverflowError, SyntaxError, EOFError, MemoryError, RecursionError, tokenize.TokenError)
IDX_TYPES: dict[int, np.dtype[Any]] = {
    8: np.dtype("u1"),
    9: np.dtype("i1"),
    11: np.dtype(">i2"),
    12: np.dtype(">i4"),
    13: np.dtype(">f4"),
    14: np.dtype(">f8"),
}

Array = npt.NDArray[Any]


def read_npy(path: Path) -> Array:
    """Open a .npy file without Python objects; its values are read when they are used.

    Raises ParameterError if the file cannot be read, its header is damaged, or it is shorter than the header says.
    """
    with _opened(path) as file:
        if file.read(4) == b"PK\x03\x04":
            raise _unsound(path, "it is an archive")
        file.seek(0)
        shape, order, kind = _header(path, file, path.stat().st_size)
        if not math.prod(shape):
            return np.empty(shape, kind)
        return np.asarray(np.memmap(file, kind, "r", file.tell(), shape, order))


def read_npz(path: Path) -> dict[str, Array]:
    """Read all arrays of a .npz file, by name.

    Raises ParameterError if the file cannot be read or is damaged.
    """
    out = {}
    with _opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith(".npy"):
                        with archive.open(entry) as member:
                            out[entry.filename.removesuffix(".npy")] = _array(path, member, entry.file_size)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, RuntimeError) as error:
            raise _unsound(path, str(error), "archive of arrays") from None
    return out


def read_idx(path: Path) -> Array:
    """Read an IDX file, which may be compressed by gzip.  Source: Y. LeCun, C. Cortes, the MNIST database.

    Raises ParameterError if the file cannot be read, is damaged, or its size is not what its header says.
    """
    with _opened(path) as file:
        try:
            stream: Any = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            start: bytes = stream.read(4)
            axes = start[3] if len(start) == 4 else 0
            lengths: bytes = stream.read(4 * axes)
            if len(lengths) < 4 * axes or start[:2] != b"\0\0" or len(start) < 4 or start[2] not in IDX_TYPES:
                raise _unsound(path, "its header is damaged", "IDX file")
            shape: tuple[int, ...] = struct.unpack(f">{axes}I", lengths)
            kind = IDX_TYPES[start[2]]
            size = math.prod(shape) * kind.itemsize
            data = _read(stream, min(size, LARGEST_IDX) + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise _unsound(path, str(error), "IDX file") from None
    if len(data) != size:
        there = "larger" if len(data) > size else f"{4 + len(lengths) + len(data)} bytes"
        raise _unsound(path, f"its header announces shape {shape}, its size is {there}", "IDX file")
    held: Array = np.frombuffer(data, kind).reshape(shape)
    return held


def _read(stream: Any, most: int) -> bytes:  # noqa: ANN401 - a file, or what unpacks one
    """Read up to `most` bytes; memory grows with what is there, not with what a header announces."""
    pieces = []
    while most > 0 and (piece := stream.read(min(most, PIECE))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}") from None


def _header(path: Path, file: Any, size: int) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:  # noqa: ANN401
    """Read shape, order and type of an array from the header of a file or an archive's member of `size` bytes."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, kind = read(file)
    except DAMAGE as error:
        raise _unsound(path, str(error)) from None
    if kind.hasobject:
        raise _unsound(path, "it holds Python objects")
    if any(isinstance(each, bool) for each in shape):
        raise _unsound(path, f"its header announces shape {shape}")
    rest = size - file.tell()
    if (
        max(shape, default=0) > LARGEST_AXIS
        or any(each < 0 for each in shape)
        or math.prod(shape) * kind.itemsize > rest
    ):
        raise _unsound(path, f"its header announces shape {shape} of {kind}, but {max(rest, 0)} bytes follow")
    return shape, "F" if by_column else "C", kind


def _array(path: Path, file: Any, size: int) -> Array:  # noqa: ANN401
    """Read one array of an archive."""
    shape, order, kind = _header(path, file, size)
    length = math.prod(shape) * kind.itemsize
    data = _read(file, length)
    if len(data) != length:
        raise _unsound(path, f"{length} bytes are expected, {len(data)} are there")
    held: Array = np.frombuffer(data, kind).reshape(shape, order=order)
    return held


def plain(why: str) -> str:
    """Return a library's words on one line, without the names and addresses of its objects."""
    return " ".join(re.sub(r"\s*<[^<>]*( at 0x|=)[^<>]*>", "", why).split()).rstrip(": ")


def _unsound(path: Path, why: str, what: str = ".npy array") -> ParameterError:
    return ParameterError(f"{path} is not a sound {what}: {plain(why)}")
