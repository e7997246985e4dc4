"""Files and figures of speech of every command: folders that are written whole, quantities with a prefix."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from devices.errors import ParameterError

ASIDE = ".crossgate-"  # how folders begin in which files are written before they appear


def check_folder(path: Path) -> None:
    """Try whether a folder can be made and written, and leave nothing behind.

    Raises ParameterError if it cannot.
    """
    try:
        there = path
        while not there.exists() and there != there.parent:
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _unwritable(path, error) from None


def write_whole(folder: str | os.PathLike[str], writers: Mapping[str, Callable[[Path], object]]) -> list[Path]:
    """Write files into a folder, all of them whole or none, and return their paths.

    writers: what writes a file, by its name; each takes the path to write to.
    Raises ParameterError if the folder cannot be made or written.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _clear(path)
        with tempfile.TemporaryDirectory(dir=path, prefix=f"{ASIDE}{os.getpid()}-") as aside:
            for name, write in writers.items():
                write(Path(aside) / name)
            for name in writers:
                (Path(aside) / name).replace(path / name)
    except OSError as error:
        raise _unwritable(path, error) from None
    return [path / name for name in writers]


def _clear(folder: Path) -> None:
    """Remove what processes that were killed left half written."""
    for left in folder.glob(f"{ASIDE}*"):
        owner = left.name.removeprefix(ASIDE).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    """Tell whether a process of this machine is there; where that cannot be told it may be."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _unwritable(path: Path, error: OSError) -> ParameterError:
    return ParameterError(f"cannot write to {path}: {error.strerror}; give a folder that can be written")
