"""The zoo: networks that come with the program, found by name, and networks in files, found by path."""

import difflib
import os
from pathlib import Path
from typing import Any

from devices.errors import ParameterError
from mapping.datasets import BUNDLED, ZOO
from mapping.network import Network, load_network, read_card


def model_names() -> tuple[str, ...]:
    """Names that `load_model` knows, in alphabetical order."""
    return tuple(sorted(path.stem for path in ZOO.glob("*.npz") if path.stem not in BUNDLED))


def load_model(name_or_path: str | os.PathLike[str]) -> Network:
    """Load a network of the zoo by its name, or any other by the path of its .npz file.

    Raises ParameterError if there is no such network or file, or the file is damaged.
    """
    return load_network(_found(name_or_path))


def model_card(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Card of a network (data, accuracies, seed, command, licence, ...) without loading its arrays.

    Raises ParameterError if there is no such network or file, or the file is damaged.
    """
    return read_card(_found(name_or_path))


def _found(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the file of a model: a path if it looks like one, else a name."""
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, os.PathLike) or text.endswith(".npz") or os.sep in text:
        return Path(text)
    names = model_names()
    if text in names:
        return ZOO / f"{text}.npz"
    near = difflib.get_close_matches(text, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the zoo has {', '.join(names)}"
    raise ParameterError(f"there is no model {text!r} in the zoo; {hint}; a path must end in .npz")
