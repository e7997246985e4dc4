"""Downloads: a file is checked by its SHA-256, and an interrupted download continues where it stopped."""

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from devices.errors import ParameterError

Progress = Callable[[int, int], None]  #: called with the bytes downloaded so far and the bytes in all

TRIES = 3  # consecutive connections without any data before giving up, ours
TIMEOUT = 30.0  # s without a byte, ours
_PIECE = 2**18  # bytes between two calls of progress, ours


def cache_folder() -> Path:
    """Folder of downloads and cached results: $CROSSGATE_CACHE, or crossgate in the system's folder for caches.

    Raises ParameterError if $CROSSGATE_CACHE is not set and the user has no home directory.
    """
    if chosen := os.environ.get("CROSSGATE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "crossgate"
    except RuntimeError:
        raise ParameterError(
            "the cache needs a folder, but this user has no home directory: set CROSSGATE_CACHE to a folder"
        ) from None


def download(address: str, path: Path, size: int, sha256: str, progress: Progress | None = None) -> None:
    """Download `address` to the file `path`, which is created only when complete.

    The bytes received so far stay in PATH.part, and the next call asks for the rest only.
    size: bytes of the whole file.
    Raises OSError if the download fails (PATH.part stays), ParameterError if the checksum differs (it is removed).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    fruitless = 0
    while (held := _size(part)) < size:
        try:
            _more(address, part, held, size, progress)
        except (OSError, http.client.HTTPException) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            fruitless = fruitless + 1 if _size(part) <= held else 0
            if refused or fruitless == TRIES:
                raise OSError(_reason(error)) from error
        else:
            fruitless = fruitless + 1 if _size(part) <= held else 0
            if fruitless == TRIES:
                raise OSError("the server sends no data")
    if not is_intact(part, size, sha256):
        part.unlink()
        raise ParameterError(f"{address} is not the expected file: its size or SHA-256 differs from {sha256}")
    part.replace(path)


def is_intact(path: Path, size: int, sha256: str) -> bool:
    """Whether a file has the expected size and checksum."""
    if _size(path) != size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _more(address: str, part: Path, held: int, size: int, progress: Progress | None) -> None:
    """Request the bytes after the first `held` ones and append them to `part`."""
    request = urllib.request.Request(address, headers={"Range": f"bytes={held}-"} if held else {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310  (our own constant address)
        rest = (
            held > 0 and answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {held}-")
        )
        held = held if rest else 0  # a server that cannot send a range sends the whole file
        with part.open("ab" if rest else "wb") as file:
            while held < size and (piece := answer.read(min(_PIECE, size - held))):
                file.write(piece)
                held += len(piece)
                if progress is not None:
                    progress(held, size)


def _size(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _reason(error: Exception) -> str:
    """The message of a network error, in one line."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(inner).split()) or type(error).__name__
