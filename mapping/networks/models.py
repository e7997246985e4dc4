"""The zoo: bundled networks are loaded by name, other networks by the path of their file."""

import os
from pathlib import Path
from typing import Any

from devices import checks
from mapping.files.cache import Cache
from mapping.networks.file_format import load_network, read_card
from mapping.networks.graph import Network
from mapping.networks.importers.importing import import_onnx

ZOO = Path(__file__).parent / "zoo"  #: folder of the bundled networks


def model_names() -> tuple[str, ...]:
    """Names of the zoo's networks, in alphabetical order."""
    return tuple(sorted(path.stem for path in ZOO.glob("*.npz")))


def load_model(name_or_path: str | os.PathLike[str]) -> Network:
    """Load a network of the zoo by name, or any network by the path of its .npz or .onnx file.

    Raises ParameterError if there is no such network or file, or the file is damaged or cannot be imported.
    """
    path = _found(name_or_path)
    if path.suffix != ".onnx":
        return load_network(path)
    return import_onnx(path, kept=Cache.of_user())


def model_card(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Card of a network: data, accuracies, seed, command, licence and more. Arrays of an .npz file are not loaded.

    Raises ParameterError if there is no such network or file, or the file is damaged.
    """
    path = _found(name_or_path)
    return load_model(path).card if path.suffix == ".onnx" else read_card(path)


def _found(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the file of a model; a text that is not a path is a name of the zoo."""
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, os.PathLike) or text.endswith((".npz", ".onnx")) or os.sep in text:
        return Path(text)
    names = model_names()
    checks.known("model", text, names, otherwise="a path must end in .npz or .onnx")
    return ZOO / f"{text}.npz"
