"""The zoo: networks that come with the program, found by name, and networks in files, found by path."""

import os
from pathlib import Path
from typing import Any

from devices import checks
from mapping.files.cache import Cache
from mapping.networks.file_format import load_network, read_card
from mapping.networks.graph import Network
from mapping.networks.importers.importing import import_onnx

ZOO = Path(__file__).parent / "zoo"  #: where the bundled networks lie


def model_names() -> tuple[str, ...]:
    """Names that `load_model` knows, in alphabetical order."""
    return tuple(sorted(path.stem for path in ZOO.glob("*.npz")))


def load_model(name_or_path: str | os.PathLike[str]) -> Network:
    """Load a network of the zoo by its name, or any other by the path of its .npz or .onnx file.

    Raises ParameterError if there is no such network or file, or the file is damaged or holds what cannot be imported.
    """
    path = _found(name_or_path)
    if path.suffix != ".onnx":
        return load_network(path)
    return import_onnx(path, kept=Cache.of_user())


def model_card(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Card of a network (data, accuracies, seed, command, licence, ...), of an .npz without loading its arrays.

    Raises ParameterError if there is no such network or file, or the file is damaged.
    """
    path = _found(name_or_path)
    return load_model(path).card if path.suffix == ".onnx" else read_card(path)


def _found(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the file of a model: a path if it looks like one, else a name."""
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, os.PathLike) or text.endswith((".npz", ".onnx")) or os.sep in text:
        return Path(text)
    names = model_names()
    checks.known("model", text, names, otherwise="a path must end in .npz or .onnx")
    return ZOO / f"{text}.npz"
