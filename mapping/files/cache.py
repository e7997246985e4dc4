"""A folder of results that are dear to compute: named by the hash of all they depend on, bounded, safe to lose.

Files appear whole or not at all, and several processes may use the folder at once: whoever finds no file, or a damaged
one, computes the result and writes it. Nothing in a result depends on whether it came from here.
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

LIMIT = 8 * 10**9  #: bytes of all entries together, ours; the oldest go first
FORGOTTEN = 86_400.0  # s after which a half-written file is nobody's, ours
ENDING = ".pack"


@dataclass(frozen=True)
class Entry:
    """One result in the folder, or all parts of one."""

    path: Path
    size: int  #: bytes
    used: float  #: when it was written or read last, as time.time()

    @property
    def about(self) -> str:
        """What the entry says of itself."""
        files = sorted(self.path.glob(f"*{ENDING}")) if self.path.is_dir() else [self.path]
        return about(files[0]) if files else ""


def _say(sentence: str) -> None:
    sys.stderr.write(f"crossgate: {sentence}\n")


class Cache:
    """A folder of packed values under names; see the module."""

    def __init__(self, folder: Path, limit: int = LIMIT, say: Callable[[str], object] = _say) -> None:
        """Use a folder, which need not be there yet.

        limit: bytes.  say: told in one sentence what was damaged or could not be written; on stderr if not given.
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
        """Return a value that was put under a name, None if there is none or it is damaged."""
        path = self.path(name)
        try:
            value = unpack(path, classes, given)
        except FileNotFoundError:
            return None
        except ParameterError as error:
            self.say(f"the cached file {path} is damaged: {error}; it is computed anew")
            return None
        except OSError as error:
            self._complain("read", error)
            return None
        with contextlib.suppress(OSError):  # it may have been removed meanwhile
            os.utime(path)
        return value

    def put(
        self, name: str, value: object, classes: Mapping[str, type], given: Mapping[str, object] | None = None,
        about: str = "",
    ) -> None:  # fmt: skip
        """Keep a value under a name; where that fails, one sentence says so and nothing else happens."""
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if pack(path, value, classes, given, about) > self.limit:
                path.unlink(missing_ok=True)
            self.shrink()
        except (OSError, TypeError) as error:  # TypeError: a kind of value that files do not know
            self._complain("written", error)

    def remove(self, name: str) -> None:
        """Forget the file or the folder of a name."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path(name).unlink()

    def entries(self) -> list[Entry]:
        """Return all entries, the one used last first."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):  # a neighbour may remove it meanwhile
                    files = list(path.iterdir()) if path.is_dir() else [path]
                    states = [file.stat() for file in files] or [path.stat()]
                    size = sum(state.st_size for state in states) if files else 0
                    found.append(Entry(path, size, max(state.st_mtime for state in states)))
        return sorted((each for each in found if not each.path.name.startswith(".")), key=lambda each: -each.used)

    def clear(self) -> int:
        """Remove every entry and return the bytes that were freed."""
        freed = sum(each.size for each in self.entries())
        shutil.rmtree(self.folder, ignore_errors=True)
        return freed

    def shrink(self) -> None:
        """Remove the oldest entries until the others keep the limit, and what a process left half written long ago."""
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
            self.say(f"the cache {self.folder} cannot be {what} ({reason}): results are not kept; --no-cache is silent")
