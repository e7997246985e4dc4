"""The origin of each value of a chip description: the code's default, a preset, a file or a setting."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mapping.hardware.bounds import unit_of
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import CHIPS, chip_files, load_hardware
from mapping.hardware.settings import TOP_KEYS, parsed_value
from mapping.hardware.technology_node import followed

DEFAULT = "default"  #: origin of values that no file sets


@dataclass(frozen=True)
class Entry:
    """One value of a chip description."""

    section: str
    key: str
    value: object
    unit: str
    origin: str  #: DEFAULT, "preset NAME", the name of a bundled chip, the path of a file, or "--set"


def origins(name_or_path: str | os.PathLike[str], settings: Iterable[str] = ()) -> tuple[Hardware, tuple[Entry, ...]]:
    """Load a chip description with KEY=VALUE settings; returns it and all values with their origins, by section.

    Raises ParameterError as `load_hardware` and `Hardware.with_values` do.
    """
    settings = tuple(settings)
    hardware = load_hardware(name_or_path).with_values(settings)
    said = [
        (path.stem if path.resolve().parent == CHIPS.resolve() else str(path), content)
        for path, content in chip_files(name_or_path)
    ]
    for setting in settings:
        key, _, value = setting.partition("=")
        section, _, name = key.strip().partition(".")
        said.append(("--set", {section: {name.partition(".")[0]: parsed_value(value.strip())}}))
    said = [(origin, followed(Hardware(), content)) for origin, content in said]  # with the keys that follow
    entries: list[Entry] = []
    for field in dataclasses.fields(hardware):
        if field.name not in TOP_KEYS:
            entries += _section(field.name, getattr(hardware, field.name), said)
    return hardware, tuple(entries)


def _section(name: str, part: object, said: Iterable[tuple[str, Mapping[str, object]]]) -> list[Entry]:
    """Values of one section with their origins: the last file that sets a key counts, and a preset sets all keys."""
    fields = [each for each in dataclasses.fields(part) if each.init]  # type: ignore[arg-type]  # a dataclass
    found = dict.fromkeys((each.name for each in fields), DEFAULT)
    for origin, content in said:
        keys = content.get(name)
        if not isinstance(keys, Mapping):
            continue
        if name == "cell" and "preset" in keys:
            found = dict.fromkeys(found, f"preset {keys['preset']}")
        found |= {key: origin for key in keys if key in found}
    return [Entry(name, each.name, getattr(part, each.name), unit_of(name, each), found[each.name]) for each in fields]
