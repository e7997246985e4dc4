"""The one owner of numba: options and cache directory.

numba's cache checks the file of the cached function only, so a solver that calls a law of another file would go on with
the old law after an edit.  Here the cache directory carries a hash of every source file that a kernel can depend on.
"""

import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, overload

import numba

PACKAGES = ("devices", "crossbar", "mapping")  # lowest first: each imports only those before it
KEPT_DIRECTORIES = 4  # per package, ours
KEPT_SECONDS = 86_400.0  # a directory used within a day may belong to a running process and stays, ours

_ROOT = Path(__file__).resolve().parents[2]
_IMPORT = re.compile(rf"^\s*(?:from|import)\s+((?:{'|'.join(PACKAGES)})(?:\.\w+)*)", re.MULTILINE)
_numba: Any = numba.config  # made at run time, so unknown to type checkers
_decorating = threading.Lock()

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def kernel(function: Function) -> Function: ...


@overload
def kernel(*, inline: bool = False) -> Callable[[Function], Function]: ...


def kernel(function: Function | None = None, *, inline: bool = False) -> Function | Callable[[Function], Function]:
    """Compile a function with numba: cached by source, IEEE arithmetic, numpy's division, no lock on the interpreter.

    Use as @kernel or @kernel(inline=True); an inlined kernel is dissolved in its callers, whose loops can then run in
    vector registers.  Where no directory can be written a kernel works without a cache.  No kernel starts threads of
    numba's: devices.numerics.worker_threads.in_shares cuts work instead.
    """

    def compiled(function: Function) -> Function:
        options: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True, "forceinline": inline}
        with _decorating:  # numba reads its cache directory while it decorates; other libraries keep theirs
            directory = cache_directory(_package_of(function.__code__.co_filename))
            before = _numba.CACHE_DIR
            _numba.CACHE_DIR = str(directory)
            try:
                cached: Function = numba.njit(cache=True, **options)(function)
            except RuntimeError:  # no place to write to, or the function has no file
                cached = function
            finally:
                _numba.CACHE_DIR = before
        if _numba.DISABLE_JIT or _cached_below(cached, directory):
            _forgive_strangers(cached)
            return cached
        return numba.njit(**options)(function)  # type: ignore[no-any-return]

    return compiled if function is None else compiled(function)


@cache
def cache_directory(package: str) -> Path:
    """Return the directory of compiled kernels of one package, keyed by its sources and those it stands on.

    It lies below NUMBA_CACHE_DIR where that is set, else in the user's cache directory.  Directories of older sources
    are removed when a new one is made, but for the newest few and those in use within a day.
    """
    base = _cache_base()
    directory = base / f"{package}-{source_hash(package)}"
    try:
        if not directory.exists():
            directory.mkdir(parents=True)
            _prune(base, package, directory)
        os.utime(directory)
    except OSError:  # read-only, full, or removed by a neighbour: kernels work without a cache
        pass
    return directory


@cache
def source_hash(package: str) -> str:
    """Return a hash of all sources that kernels of `package` can depend on.

    These are the files of the package and of those below it that hold a kernel, and whatever of ours they import.
    """
    files: set[Path] = {Path(__file__).resolve()}
    for name in PACKAGES[: PACKAGES.index(package) + 1]:
        files.update(path for path in (_ROOT / name).rglob("*.py") if "@kernel" in _source(path))
    fresh = files
    while fresh:
        fresh = {found for path in fresh for found in _imported(path)} - files
        files |= fresh
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(_ROOT).as_posix()}\0{len(_source(path))}\0{_source(path)}".encode())
    return digest.hexdigest()[:16]


def _cached_below(function: Callable[..., Any], directory: Path) -> bool:
    """Tell whether a compiled function caches in our directory; elsewhere the source hash would not guard it."""
    stats = getattr(function, "stats", None)
    return stats is not None and Path(stats.cache_path).is_relative_to(directory)


def _forgive_strangers(function: Callable[..., Any]) -> None:
    """Let a cache that names types of another program, such as a user's own law, count as empty.

    numba's index pickles the types of every compiled version together; a program that cannot import one of them could
    not load any.
    """
    file = getattr(getattr(function, "_cache", None), "_cache_file", None)
    load = getattr(file, "_load_index", None)
    if file is None or load is None:
        return

    def forgiving() -> Any:  # noqa: ANN401 - numba's own dictionary
        try:
            return load()
        except (ImportError, AttributeError):
            return {}

    file._load_index = forgiving  # noqa: SLF001


def _package_of(filename: str) -> str:
    """Return the package that a source file belongs to; a file outside ours may call kernels of them all."""
    path = Path(filename).resolve()
    return next((name for name in PACKAGES if path.is_relative_to(_ROOT / name)), PACKAGES[-1])


def _imported(path: Path) -> set[Path]:
    """Return our files that a file imports by absolute name; an import of a whole package counts as all its files."""
    found: set[Path] = set()
    for name in _IMPORT.findall(_source(path)):
        target = _ROOT.joinpath(*name.split("."))
        if target.is_dir():
            found.update(target.rglob("*.py"))
        elif target.with_suffix(".py").is_file():
            found.add(target.with_suffix(".py"))
    return found


@cache
def _source(path: Path) -> str:
    """Return the text of a source file, nothing if it vanished meanwhile."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _cache_base() -> Path:
    """Return the directory that holds the keyed directories."""
    if _numba.CACHE_DIR:
        return Path(_numba.CACHE_DIR) / "crossgate"
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".cache") / "crossgate" / "numba"
    except RuntimeError:  # a user without a home: nothing can be made below this, so kernels work without a cache
        return Path(os.devnull) / "crossgate"


def _prune(base: Path, package: str, current: Path) -> None:
    """Remove directories of older sources; what cannot be removed stays."""
    try:
        older = [(path.stat().st_mtime, path) for path in base.glob(f"{package}-*") if path != current]
    except OSError:
        return
    for used, path in sorted(older, reverse=True)[KEPT_DIRECTORIES - 1 :]:
        if time.time() - used > KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
