"""Files of chip descriptions: found by name or path, read from TOML, combined with the files they are based on."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from devices import checks
from devices.cells.presets import PRESETS
from devices.errors import ParameterError
from mapping.files.toml_files import read_toml
from mapping.hardware.description import Hardware
from mapping.hardware.settings import NONE, TOP_KEYS, updated
from mapping.hardware.technology_node import followed

CHIPS = Path(__file__).parent / "chips"  #: folder of the bundled descriptions
LARGEST_FILE = 2**20  #: bytes of a description, ours; the longest bundled one has less than 2,000


def hardware_names() -> tuple[str, ...]:
    """Names of the bundled chip descriptions."""
    return tuple(sorted(path.stem for path in CHIPS.glob("*.toml")))


def load_hardware(name_or_path: str | os.PathLike[str]) -> Hardware:
    """Load a bundled chip description by name, or a .toml file by path; its key `base` names what it starts from.

    Raises ParameterError for an unknown name, a file that is not TOML, an unknown key or a value out of bounds.
    """
    hardware = Hardware()
    for path, content in chip_files(name_or_path):
        plain: dict[str, Any] = {key: _text(path, key, content[key]) for key in ("name", "about") if key in content}
        sections = _with_paths({key: value for key, value in content.items() if key not in TOP_KEYS}, path.parent)
        hardware = replace(hardware, **{"name": path.stem, **plain})
        hardware = updated(hardware, followed(hardware, sections), str(path))
    return hardware


def _with_paths(sections: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return sections in which the name of a table of noise is relative to the folder of its description."""
    noise = sections.get("noise")
    if not isinstance(noise, dict) or not isinstance(noise.get("table"), str) or noise["table"] == NONE:
        return sections
    return {**sections, "noise": {**noise, "table": str(folder / noise["table"])}}


def load_cell(name_or_path: str) -> tuple[str, Hardware]:
    """Load a chip by name or .toml path, or the default chip with a cell preset; returns a title and the chip.

    Raises ParameterError for an unknown name, and what load_hardware raises.
    """
    if name_or_path in PRESETS:
        return name_or_path, replace(Hardware(), cell=PRESETS[name_or_path]())
    if not name_or_path.endswith(".toml"):
        names = [*PRESETS, *hardware_names()]
        checks.known("cell", name_or_path, names, otherwise="a path must end in .toml")
    hardware = load_hardware(name_or_path)
    return Path(hardware.name).name or "cell", hardware


def cell_file(
    values: Mapping[str, float | str], base: str, about: str, comments: Mapping[str, str], head: Iterable[str] = ()
) -> str:
    """Return the text of a chip description that starts from `base` and sets fields of its cell.

    values: by field, a preset before them.  comments: by field, put after the value.  head: comments at the top.
    """
    lines = [f"# {' '.join(line.split())}" for line in head]
    lines += [f"base = {json.dumps(base)}", f"about = {json.dumps(about)}", "", "[cell]"]
    for name, value in values.items():
        comment = f" # {' '.join(comments[name].split())}" if name in comments else ""
        lines.append(f"{name} = {value!r}{comment}")
    return "\n".join(lines) + "\n"


def chip_files(name_or_path: str | os.PathLike[str]) -> tuple[tuple[Path, dict[str, Any]], ...]:
    """Return the files of a description and their contents: first the lowest base, last the description itself.

    Raises ParameterError for an unknown name, a file that is not TOML, or a file that is its own base.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    following: str | os.PathLike[str] | None = name_or_path
    while following is not None:
        path = _found(following, str(found[-1][0]) if found else "")
        if any(path.resolve() == each.resolve() for each, _ in found):
            raise ParameterError(f"chip description {path} is its own base")
        found.append((path, _content(path)))
        base = found[-1][1].get("base")
        following = None if base is None else _beside(path, _text(path, "base", base))
    return tuple(reversed(found))


def _content(path: Path) -> dict[str, Any]:
    """Read one file."""
    return read_toml(path, "chip description", LARGEST_FILE)


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ParameterError(f"{path}: {key} must be a text, got {value!r}")
    return value


def _beside(path: Path, base: str) -> str | Path:
    """Return the name of a base unchanged; its path relative to the file that names it."""
    return path.parent / base if base.endswith(".toml") or os.sep in base else base


def _found(name_or_path: str | os.PathLike[str], where: str = "") -> Path:
    """Return the file of a description; where: the file that names it as its base."""
    text = os.fspath(name_or_path)
    if text.endswith(".toml") or isinstance(name_or_path, os.PathLike) or os.sep in text:
        return Path(text)
    checks.known("chip", text, hardware_names(), where=where, otherwise="a path must end in .toml")
    return CHIPS / f"{text}.toml"
