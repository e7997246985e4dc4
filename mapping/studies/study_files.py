"""Study files: descriptions of studies in TOML, checked key by key."""

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from devices import checks
from devices.errors import ParameterError
from mapping.files.toml_files import read_toml
from mapping.studies.description import WHOLE_INPUTS, Parameter, Study, one_line, toml_value


def load_study(path: str | os.PathLike[str]) -> Study:
    """Read a study from a TOML file; paths in it are relative to the file.

    Raises ParameterError if the file cannot be read, a key is unknown, or a value is invalid.
    """
    file = Path(path)
    content = read_toml(file, "study")
    try:
        return _study(content, file)
    except ParameterError as error:
        raise ParameterError(f"{file}: {error}") from None


def _study(content: dict[str, Any], file: Path) -> Study:
    tables = content.pop("parameter", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ParameterError(f"parameter must be one or more [[parameter]] tables, got {tables!r}")
    known = {each.name: each for each in fields(Study) if each.name != "parameters"}
    keys: dict[str, Any] = {"name": file.stem}
    for key, given in content.items():
        checks.known("key", key, [*known, "parameter"])
        keys[key] = _typed(key, given)
    parameters = tuple(_parameter(dict(each), file) for each in tables)
    for key in WHOLE_INPUTS:
        if key in keys:
            keys[key] = _seen_from(file, keys[key])
    if keys.get("data") is not None:
        keys["data"] = str(file.parent / keys["data"])
    return Study(parameters, **keys)


def _typed(key: str, given: object) -> object:
    """Convert a value of the file to what `Study` takes; whole numbers are checked there."""
    if key == "seeds":
        if isinstance(given, list):
            return tuple(given)
        return tuple(range(checks.whole("seeds", given, minimum=1)))
    if key == "settings":
        if not isinstance(given, dict):
            raise ParameterError(f"settings must be a table such as {{ 'wires.r_row' = 2.8 }}, got {given!r}")
        return tuple(f"{name}={toml_value(value)}" for name, value in _flat(given))
    if key in {"images", "points", "draw", "calibration"}:
        return given
    if key == "until_lost":
        if not isinstance(given, bool):
            raise ParameterError(f"until_lost must be true or false, got {given!r}")
        return given
    if not isinstance(given, str):
        raise ParameterError(f"{key} must be a text, got {given!r}")
    one_line(key, given)
    return given


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Join the keys of nested tables by dots, because TOML turns dotted keys into nested tables."""
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found


def _parameter(table: dict[str, Any], file: Path) -> Parameter:
    known = {each.name for each in fields(Parameter)} | {"key"}
    for key in table:
        checks.known("key of a parameter", key, known)
    if ("key" in table) == ("keys" in table):
        raise ParameterError(f"a parameter needs key = TEXT or keys = [TEXT, …], got {sorted(table)}")
    keys = table.pop("keys") if "keys" in table else [table.pop("key")]
    for name, kind, wanted in (("values", list, "a list"), ("scale", str, "a text"), ("name", str, "a text")):
        if name in table and not isinstance(table[name], kind):
            raise ParameterError(f"{name} of a parameter must be {wanted}, got {table[name]!r}")
    if not isinstance(keys, list):
        raise ParameterError(f"keys of a parameter must be a list of texts, got {keys!r}")
    made = Parameter(keys=tuple(keys), **table)
    if made.keys[0] in WHOLE_INPUTS:
        return replace(made, values=tuple(_seen_from(file, str(each)) for each in made.values))
    return made


def _seen_from(file: Path, name: str) -> str:
    """Return a bundled name unchanged; a path relative to the file that names it."""
    return str(file.parent / name) if name.endswith((".toml", ".npz", ".onnx")) or os.sep in name else name
