"""CIFAR-10 in the binary and the Python version that its authors publish, found in a folder or downloaded.

A. Krizhevsky, Learning multiple layers of features from tiny images, 2009; https://www.cs.toronto.edu/~kriz/cifar.html
"""

# n = images

import codecs
import pickle
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.errors import ParameterError
from mapping.files.downloads import Progress, cache_folder, download, is_intact
from mapping.files.regular_files import open_regular

Records = npt.NDArray[np.uint8]  #: (n, 3073): a label, then the red, green and blue planes row by row

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PARTS = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
BINARY, PYTHON = "cifar-10-batches-bin", "cifar-10-batches-py"  #: folders in the two archives
ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE, ARCHIVE_SIZE = "cifar-10-binary.tar.gz", 170_052_171  # bytes
#: of the archive; the authors' page gives its MD5 as c32a1d4ab5d03f1284b67883e8d87530
ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
PIXELS = 3 * 32 * 32
_RECORD = 1 + PIXELS
_LARGEST_PICKLE = 2**26  # bytes; the official files have 31 MB
_HELD_OUT = 10  # one of so many training images of each class is for validation; ours


def find(folder: Path, part: str) -> list[Path] | None:
    """Files of "train" or "test" in a folder, or in the official folders below it; None if none of them exists.

    Raises ParameterError if some files exist and others do not.
    """
    lacking: tuple[Path, list[str]] | None = None
    for place in (folder, folder / BINARY, folder / PYTHON):
        for ending in (".bin", ""):
            paths = [place / f"{name}{ending}" for name in PARTS[part]]
            missing = [path.name for path in paths if not path.is_file()]
            if not missing:
                return paths
            if len(missing) < len(paths):
                lacking = lacking or (place, missing)
    if lacking is not None:
        raise ParameterError(f"{lacking[0]} lacks {', '.join(lacking[1])} of CIFAR-10")
    return None


def read(paths: list[Path]) -> Records:
    """Records of official files; those that end in .bin are binary, all others are pickles.

    Raises ParameterError for a file that is not a sound file of CIFAR-10.
    """
    records = np.concatenate([(_binary if path.suffix == ".bin" else _pickled)(path) for path in paths])
    if records[:, 0].max() >= len(CLASSES):
        raise ParameterError(f"a label in {paths[0].parent} is {records[:, 0].max()}; CIFAR-10's are from 0 to 9")
    return records


def held_out(records: Records) -> npt.NDArray[np.bool_]:
    """Mark one in ten images of each class: those with the smallest CRC-32 of their pixels, whatever their order."""
    sums = np.array([zlib.crc32(record[1:].data) for record in records], dtype=np.int64)
    chosen = np.zeros(len(records), dtype=np.bool_)
    for label in range(len(CLASSES)):
        members = np.flatnonzero(records[:, 0] == label)
        order = members[np.argsort(sums[members], kind="stable")]
        chosen[order[: len(members) // _HELD_OUT]] = True
    return chosen


def obtain(progress: Progress | None = None) -> Path:
    """Folder of the data in the cache; the data is downloaded and unpacked first if it is missing.

    Raises ParameterError if that fails; the message says what to download and where to put it.
    """
    cache = cache_folder()
    if find(cache, "train") is not None and find(cache, "test") is not None:
        return cache
    archive = cache / ARCHIVE
    try:
        if not is_intact(archive, ARCHIVE_SIZE, ARCHIVE_SHA256):
            download(ADDRESS, archive, ARCHIVE_SIZE, ARCHIVE_SHA256, progress)
        _unpack(archive, cache)
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise ParameterError(
            f"CIFAR-10 is neither in {cache} nor could it be downloaded ({' '.join(str(error).split())}): "
            f"download {ADDRESS} and put it into that folder, "
            "or unpack it elsewhere and give its folder as the data folder (--data)"
        ) from None
    return cache


def _unpack(archive: Path, cache: Path) -> None:
    """Move the six files of the archive to the cache, all of them or none, then remove the archive."""
    with tempfile.TemporaryDirectory(dir=cache, prefix=".unpack-") as held, tarfile.open(archive) as tar:
        folder = Path(held) / BINARY
        folder.mkdir()
        for name in (*PARTS["train"], *PARTS["test"]):
            member = tar.extractfile(f"{BINARY}/{name}.bin")
            if member is None:
                raise tarfile.TarError(f"{archive} holds no file {name}.bin")
            (folder / f"{name}.bin").write_bytes(member.read())
        folder.replace(cache / BINARY)
    archive.unlink()


def _binary(path: Path) -> Records:
    """Records of a .bin file."""
    data = np.fromfile(path, dtype=np.uint8)
    if data.size == 0 or data.size % _RECORD:
        raise ParameterError(f"{path} must be whole records of {_RECORD} bytes, but it is {data.size} bytes long")
    return data.reshape(-1, _RECORD)


def _pickled(path: Path) -> Records:
    """Records of a file of the Python version: a dictionary with b"data", (n, 3072) bytes, and b"labels", a list."""
    if path.stat().st_size > _LARGEST_PICKLE:
        raise ParameterError(f"{path} has {path.stat().st_size} bytes, more than any file of CIFAR-10")
    try:
        with open_regular(path) as file:
            held = _Unpickler(file, encoding="bytes").load()
    except Exception as error:  # noqa: BLE001  (a damaged pickle can raise anything)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ParameterError(f"{path} is not a sound file of CIFAR-10's Python version: {reason}") from None
    if not isinstance(held, dict):
        raise ParameterError(f"{path} must hold a dictionary, got {type(held).__name__}")
    data, labels = (held.get(name.encode(), held.get(name)) for name in ("data", "labels"))
    if not isinstance(labels, list) or not labels or not all(type(x) is int and 0 <= x < 256 for x in labels):
        raise ParameterError(f"{path} must hold a list of small whole numbers as its labels")
    pixels = data.bytes_of((len(labels), PIXELS)) if isinstance(data, _Array) else None
    if pixels is None:
        raise ParameterError(f"{path} must hold {len(labels)} × {PIXELS} bytes of pixels, one row for each label")
    return np.concatenate([np.array(labels, dtype=np.uint8)[:, None], pixels], axis=1)


class _Array:
    """Replaces the array in a pickle: it keeps the arguments that numpy would get and builds no array."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def bytes_of(self, shape: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
        """The array if it holds bytes, has this shape and is in C order, else None."""
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            return None
        _, found, kind, fortran, data = self.state
        if not isinstance(kind, _Kind) or kind.code not in (b"u1", "u1") or fortran or found != shape:
            return None
        if not isinstance(data, bytes) or len(data) != shape[0] * shape[1]:
            return None
        return np.frombuffer(data, dtype=np.uint8).reshape(shape)


class _Kind:
    """Replaces the dtype in a pickle."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass


def _latin(text: str, encoding: str) -> bytes:
    """Decode the text that Python 3 writes into old pickles in place of bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the text encoding {encoding!r}")
    return codecs.encode(text, "latin1")


#: everything that a pickle may call, and what is called instead
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _latin,
}


class _Unpickler(pickle.Unpickler):
    """Reads dictionaries, lists, texts, numbers and byte arrays; nothing else is imported or called."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of CIFAR-10 needs")
        allowed = _ALLOWED[module, name]
        return lambda *args: allowed(*args)  # noqa: PLW0108  (a pickle may set attributes of what it gets)

    def persistent_load(self, pid: object) -> object:
        raise pickle.UnpicklingError("it refers to something outside the file")
