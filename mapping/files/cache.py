"""A cache: a folder of results that are expensive to compute, named by a hash of everything they depend on.

Files are written completely or not at all, and several processes may use the folder at once. A process that finds no
file, or a damaged one, computes the result and writes it. A result is the same whether or not it comes from the cache.
"""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.errors import ParameterError
from mapping.files.downloads import cache_folder
from mapping.files.packed import about, pack, unpack

LIMIT = 8 * 10**9  #: bytes of all results together, ours; the least recently used are removed first
FORGOTTEN = 86_400.0  # s after which an unfinished file is removed, ours
ENDING = ".pack"


@dataclass(frozen=True)
class Entry:
    """One result in the folder: a file, or a folder with its parts."""

    path: Path
    size: int  #: bytes
    used: float  #: time of the last write or read, as time.time()

    @property
    def about(self) -> str:
        """The sentence that describes the result, from its file."""
        files = sorted(self.path.glob(f"*{ENDING}")) if self.path.is_dir() else [self.path]
        return about(files[0]) if files else ""


def _say(sentence: str) -> None:
    sys.stderr.write(f"crossgate: {sentence}\n")


class Cache:
    """A folder of packed values under names, as the module describes."""

    def __init__(self, folder: Path, limit: int = LIMIT, say: Callable[[str], object] = _say) -> None:
        """Use a folder, which need not exist yet.

        limit: bytes.  say: called with one sentence about a damaged or unwritable file; default: print to stderr.
        """
        self.folder, self.limit, self.say = folder, limit, say
        self._complained = False

    @classmethod
    def of_user(cls) -> "Cache":
        """Return the cache of this user: the folder `results` beside the downloads."""
        return cls(cache_folder() / "results")

    def path(self, name: str) -> Path:
        """Return the file of a name such as "chip-0123" or "run-0123/64"."""
        return self.folder / f"{name}{ENDING}"

    def get(self, name: str, classes: Mapping[str, type], given: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401
        """Return the value stored under a name; None if there is none or it is damaged."""
        path = self.path(name)
        try:
            value = unpack(path, classes, given)
        except FileNotFoundError:
            return None
        except ParameterError as error:
            self.say(f"the cached file {path} is damaged: {error}; the result is computed again")
            return None
        except OSError as error:
            self._complain("read", error)
            return None
        with contextlib.suppress(OSError):  # another process may have removed it
            os.utime(path)
        return value

    def put(
        self, name: str, value: object, classes: Mapping[str, type], given: Mapping[str, object] | None = None,
        about: str = "",
    ) -> None:  # fmt: skip
        """Store a value under a name; a failure is reported in one sentence and has no other effect."""
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if pack(path, value, classes, given, about) > self.limit:
                path.unlink(missing_ok=True)
            self.shrink()
        except (OSError, TypeError) as error:  # TypeError: a value that cannot be packed
            self._complain("written", error)

    def remove(self, name: str) -> None:
        """Remove the file or the folder of a name."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path(name).unlink()

    def entries(self) -> list[Entry]:
        """Return all results, the most recently used first."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):  # another process may remove it
                    files = list(path.iterdir()) if path.is_dir() else [path]
                    states = [file.stat() for file in files] or [path.stat()]
                    size = sum(state.st_size for state in states) if files else 0
                    found.append(Entry(path, size, max(state.st_mtime for state in states)))
        return sorted((each for each in found if not each.path.name.startswith(".")), key=lambda each: -each.used)

    def clear(self) -> int:
        """Remove every result and return the number of bytes freed."""
        freed = sum(each.size for each in self.entries())
        shutil.rmtree(self.folder, ignore_errors=True)
        return freed

    def shrink(self) -> None:
        """Remove the least recently used results beyond the limit, and old unfinished files."""
        held = 0
        for each in self.entries():
            held += each.size
            if held > self.limit:
                self.remove(each.path.name.removesuffix(ENDING))
        for path in self.folder.glob(".new-*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > FORGOTTEN:
                    path.unlink()

    def _complain(self, what: str, error: OSError | TypeError) -> None:
        if not self._complained:
            self._complained = True
            reason = getattr(error, "strerror", None) or str(error)
            self.say(
                f"the cache {self.folder} cannot be {what} ({reason}): results are not kept; --no-cache turns this "
                "message off"
            )
