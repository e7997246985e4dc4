"""Settings: keys of a description are changed by name; values are parsed and checked, unknown names get a hint."""

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from crossbar.arrays.tile_wires import TileWires
from crossbar.arrays.wires import Wires
from devices import checks
from devices.cells.presets import PRESETS
from devices.errors import ParameterError
from devices.noise.noise_table import NoiseTable, read_noise_table
from mapping.files.toml_files import parse_toml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Described = TypeVar("Described", bound="DataclassInstance")

TOP_KEYS = {"base", "name", "about"}  #: keys before the sections of a file
NONE = "none"  #: word for no table of noise
IDEAL = "ideal"  #: word in TOML for a converter without quantisation


def parsed_value(text: str) -> object:
    """Read a value as TOML does; a word without quotes is a text."""
    try:
        value: object = parse_toml(f"x = {text}")["x"]
    except ValueError:
        return text
    return value


def updated(value: Described, content: Mapping[str, Any], where: str) -> Described:
    """Apply sections of keys to a description, a frozen dataclass whose fields are the sections.

    where: name of the file or option, for messages.  Raises ParameterError for an unknown section or key, naming the
    nearest valid ones, or a value out of bounds.
    """
    sections = {each.name for each in dataclasses.fields(value)} - TOP_KEYS
    top = TOP_KEYS if where.endswith(".toml") else set()  # a file may have misspelt one of these
    changes = {}
    for section, keys in content.items():
        checks.known("section", section, sections | top, where=where)
        if not isinstance(keys, Mapping):
            raise ParameterError(f"{where}: {section} must be a section with keys, got {keys!r}")
        changes[section] = _section(getattr(value, section), section, dict(keys), where)
    return replace(value, **changes)


def _section(value: Any, section: str, keys: dict[str, Any], where: str) -> Any:  # noqa: ANN401  (one of ten parts)
    """Return one section of a description with its keys changed."""
    if section == "cell" and "preset" in keys:
        preset = str(keys.pop("preset"))
        checks.known("cell.preset", preset, PRESETS, where=where)
        value = PRESETS[preset]()
    hints = get_type_hints(type(value))
    known = {each.name for each in dataclasses.fields(value) if each.init}
    valid = known | ({"preset"} if section == "cell" else set())
    for key, given in keys.items():
        checks.known("key", key, valid, where=where, prefix=f"{section}.")
        keys[key] = _typed(given, hints[key], f"{section}.{key}", where)
        if isinstance(given, Mapping) and isinstance(getattr(value, key), dict):
            keys[key] = {**getattr(value, key), **given}  # a table is added to that of its base
    if isinstance(value, Wires):  # which also take one value for each segment here
        value = TileWires(*(getattr(value, each.name) for each in dataclasses.fields(value)))
    try:
        return replace(value, **keys)
    except ParameterError as error:
        raise ParameterError(f"{where}: [{section}] {error}") from None


def _typed(given: object, hint: object, key: str, where: str) -> object:
    """Convert a TOML value to the type of its field; the dataclass itself checks the range."""
    options = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if NoiseTable in options:
        return _table(given, key, where)
    if type(None) in options and given == IDEAL:
        return None
    if hint is str or (int in options and float not in options):
        kind, wanted = (str, "a text") if hint is str else (int, "a whole number")
        if not isinstance(given, kind) or isinstance(given, bool):
            also = f" or {IDEAL!r}" if type(None) in options else ""
            raise ParameterError(f"{where}: {key} must be {wanted}{also}, got {given!r}")
    return given


def _table(given: object, key: str, where: str) -> NoiseTable | None:
    """Return the table of a file; the word "none" stands for no table."""
    if not isinstance(given, str):
        raise ParameterError(f"{where}: {key} must be the name of a .csv or .toml file, or 'none', got {given!r}")
    return None if given == NONE else read_noise_table(given)
