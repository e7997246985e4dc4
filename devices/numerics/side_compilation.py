"""Kernels that a second process compiles into the cache while this one works: a first start on two processors.

numba compiles one kernel at a time in a process, so a second process is needed, not a second thread.  Each kernel is
compiled by the process that claims it first, and the other one loads it from the cache.  The machine code is the same,
so no result changes.  If the second process fails or ends, this one compiles what it needs by itself.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 3600.0  # s after which the second process ends in any case, ours
FEW = 3  # missing kernels from which a second process is started, ours: it takes as long to start as one to compile
POLL = 0.02  # s between two looks at a kernel that the other process compiles, ours


class Compiled(NamedTuple):
    """A kernel and the numba types of the arguments that it is compiled for."""

    kernel: Any
    types: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Name of the kernel as a file name."""
        function = self.kernel.py_func
        return f"{function.__module__}.{function.__qualname__}"


def is_cached(kernel: Callable[..., Any]) -> bool:
    """Tell whether a kernel needs no second process: it is in the cache, or it cannot be cached at all."""
    file = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    path = getattr(file, "_index_path", None)
    return path is None or Path(path).exists()


@contextlib.contextmanager
def compiled_beside(module: str, kernels: Sequence[Compiled]) -> Iterator[None]:
    """Let a second process compile kernels inside the context; `python -m module FOLDER` calls compile_all with them.

    Nothing happens with one processor, or if few of the kernels are missing in the cache.
    """
    missing = sum(not is_cached(each.kernel) for each in kernels)
    if missing < FEW or _processors() < 2 or not sys.executable:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="crossgate-kernels-", ignore_cleanup_errors=True) as folder:
        try:
            other = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", module, folder],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:  # no further process is allowed
            yield
            return
        claims = Claims(Path(folder))
        undo = [_waiting(each, claims, other) for each in kernels]
        try:
            yield
        finally:
            for each in undo:
                each()
            other.kill()
            other.communicate()


def _processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Claims:
    """A folder in which two processes claim kernels by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, name: str) -> bool:
        """Claim a kernel; False if it is claimed already, or the folder is gone."""
        try:
            os.close(os.open(self.folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError:
            return False
        return True

    def finish(self, name: str) -> None:
        """Say that a claimed kernel is in the cache, or failed."""
        with contextlib.suppress(OSError):
            (self.folder / f"{name}.done").touch()

    def finished(self, name: str) -> bool:
        """Say whether a kernel that another process claimed is done."""
        return (self.folder / f"{name}.done").exists()


def _waiting(each: Compiled, claims: Claims, other: "subprocess.Popen[bytes]") -> Callable[[], None]:
    """Let a kernel that the other process compiles be loaded when it is done; returns what takes this back."""
    cache, seen = getattr(each.kernel, "_cache", None), False
    load = getattr(cache, "load_overload", None)
    if cache is None or load is None:
        return lambda: None

    def loaded(signature: Any, context: Any) -> Any:  # noqa: ANN401 - numba's own types
        nonlocal seen
        found = load(signature, context)
        if found is None and not seen:
            seen = True
            if not claims.take(each.name):
                while not claims.finished(each.name) and other.poll() is None:
                    time.sleep(POLL)
                found = load(signature, context)
        return found

    cache.load_overload = loaded

    def take_back() -> None:
        with contextlib.suppress(AttributeError):
            del cache.load_overload

    return take_back


def compile_all(kernels: Sequence[Compiled], folder: Path) -> None:
    """Compile kernels that the first process has not claimed, in order, as the second process.

    It ends when the first process ends, whatever ends that one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends this one
    threading.Thread(target=_end_with_the_other, args=(folder,), daemon=True).start()
    late = threading.Timer(LONGEST, os._exit, (1,))
    late.daemon = True
    late.start()
    claims = Claims(folder)
    for each in kernels:
        if claims.take(each.name):
            try:
                each.kernel.compile(each.types)
            finally:
                claims.finish(each.name)


def _end_with_the_other(folder: Path) -> None:
    """End when the pipe from the first process closes, which the system does when that process ends."""
    with contextlib.suppress(OSError):
        while os.read(0, 1):  # a buffered read would hold a lock that Python needs at its end
            pass
    shutil.rmtree(folder, ignore_errors=True)  # a process that is killed leaves it
    os._exit(1)
