"""Compilation of kernels: the only place that sets numba's options and its cache directory.

numba's own cache checks only the file of the cached function.  A solver that calls a law in another file would keep
using the old law after an edit.  Here the name of the cache directory therefore contains a hash of all source files
that a kernel can depend on.
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

PACKAGES = ("devices", "crossbar", "mapping")  # lowest first; each imports only packages before it
KEPT_DIRECTORIES = 4  # cache directories kept per package, ours
KEPT_SECONDS = 86_400.0  # a directory used within this time is kept, as a running process may use it (ours)

_ROOT = Path(__file__).resolve().parents[2]
_IMPORT = re.compile(rf"^\s*(?:from|import)\s+((?:{'|'.join(PACKAGES)})(?:\.\w+)*)", re.MULTILINE)
_numba: Any = numba.config  # its attributes are made at run time, so type checkers do not know them
_decorating = threading.Lock()

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def kernel(function: Function) -> Function: ...


@overload
def kernel(*, inline: bool = False) -> Callable[[Function], Function]: ...


def kernel(function: Function | None = None, *, inline: bool = False) -> Function | Callable[[Function], Function]:
    """Compile a function with numba, with a cache on disk, IEEE arithmetic and NumPy's division, and without the GIL.

    Use as @kernel or @kernel(inline=True).  An inlined kernel becomes part of its callers, whose loops can then be
    vectorised.  Without a writable directory a kernel works without cache.  Kernels never use numba's threads;
    devices.numerics.worker_threads.in_shares divides work over threads instead.
    """

    def compiled(function: Function) -> Function:
        options: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True, "forceinline": inline}
        with _decorating:  # numba reads CACHE_DIR while decorating; other libraries keep their own
            directory = cache_directory(_package_of(function.__code__.co_filename))
            before = _numba.CACHE_DIR
            _numba.CACHE_DIR = str(directory)
            try:
                cached: Function = numba.njit(cache=True, **options)(function)
            except RuntimeError:  # no writable directory, or the function has no file
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
    """Return the cache directory of the kernels of one package; its name contains the hash of source_hash.

    It lies below NUMBA_CACHE_DIR if that is set, else in the user's cache directory.  When a new directory is made,
    older ones are removed, except the newest few and those used within a day.
    """
    base = _cache_base()
    directory = base / f"{package}-{source_hash(package)}"
    try:
        if not directory.exists():
            directory.mkdir(parents=True)
            _prune(base, package, directory)
        os.utime(directory)
    except OSError:  # read-only, full, or removed by another process: kernels work without a cache
        pass
    return directory


@cache
def source_hash(package: str) -> str:
    """Return a hash of all source files that kernels of `package` can depend on.

    These are the files with kernels in this package and in lower packages, and all files of ours that they import.
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
    """Tell whether a compiled function is cached in our directory; elsewhere the source hash would not protect it."""
    stats = getattr(function, "stats", None)
    return stats is not None and Path(stats.cache_path).is_relative_to(directory)


def _forgive_strangers(function: Callable[..., Any]) -> None:
    """Treat a cache as empty if it contains types that this program cannot import, such as a user's own law.

    numba pickles the types of all compiled versions in one index.  If one of them cannot be imported, numba could not
    load any version.
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
    """Return the package of a source file; a file outside our packages counts as the highest of them."""
    path = Path(filename).resolve()
    return next((name for name in PACKAGES if path.is_relative_to(_ROOT / name)), PACKAGES[-1])


def _imported(path: Path) -> set[Path]:
    """Return our files that a file imports by absolute name; an import of a package counts as all its files."""
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
    """Return the text of a source file, or an empty text if it no longer exists."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _cache_base() -> Path:
    """Return the parent of the cache directories."""
    if _numba.CACHE_DIR:
        return Path(_numba.CACHE_DIR) / "crossgate"
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".cache") / "crossgate" / "numba"
    except RuntimeError:  # no home directory: nothing can be created below os.devnull, so kernels work without a cache
        return Path(os.devnull) / "crossgate"


def _prune(base: Path, package: str, current: Path) -> None:
    """Remove cache directories of older sources, as far as possible."""
    try:
        older = [(path.stat().st_mtime, path) for path in base.glob(f"{package}-*") if path != current]
    except OSError:
        return
    for used, path in sorted(older, reverse=True)[KEPT_DIRECTORIES - 1 :]:
        if time.time() - used > KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
