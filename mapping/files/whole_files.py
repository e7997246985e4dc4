"""Output folders: all files of a command are written, or none."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from devices.errors import ParameterError

ASIDE = ".crossgate-"  # first letters of temporary folders in which files are written before they are moved


def check_folder(path: Path) -> None:
    """Check that a folder can be created and written, without leaving anything in it.

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
    """Write files to a folder, all of them or none, and return their paths.

    writers: by file name, a function that takes the path to write to.
    Raises ParameterError if the folder cannot be created or written.
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


def write_new_folder(folder: str | os.PathLike[str], writers: Mapping[str, Callable[[Path], object]]) -> list[Path]:
    """Write files to a new or an empty folder, which appears with all of them or not at all; return their paths.

    writers: by file name, a function that takes the path to write to.
    Raises ParameterError if the folder holds anything, or cannot be created or written.
    """
    path = Path(folder)
    check_new_folder(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path.parent)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{ASIDE}{os.getpid()}-") as aside:
            made = Path(aside) / "folder"
            made.mkdir()
            for name, write in writers.items():
                write(made / name)
            if path.exists():
                path.rmdir()
            made.rename(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    return [path / name for name in writers]


def check_new_folder(path: Path) -> None:
    """Check that a folder is new or empty and can be written, so that nothing in it is lost.

    Raises ParameterError if it is not.
    """
    check_folder(path)
    if path.exists() and any(path.iterdir()):
        raise ParameterError(f"{path} must be a new or an empty folder, as its files would be lost; give another one")


def _clear(folder: Path) -> None:
    """Remove the temporary folders of processes that were killed."""
    for left in folder.glob(f"{ASIDE}*"):
        owner = left.name.removeprefix(ASIDE).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    """Whether a process of this machine may be running."""
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
