"""Options that several commands share, and the conversion of their texts to numbers."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from devices.errors import ParameterError

DEFAULT_MODEL, DEFAULT_CHIP = "dvgg-negatives", "adaptive2d"

Model = Annotated[str, typer.Argument(help="A network of the zoo, or a .npz or .onnx file.")]
Chip = Annotated[str, typer.Option(help="A bundled chip description, or a .toml file.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one key, such as wires.r_row=2.8. May be repeated."),
]
Data = Annotated[Path | None, typer.Option(help="Folder of the images. Default: bundled, cached or downloaded images.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the text of report.json and nothing else.")]


def whole(option: str, text: str, minimum: int) -> int:
    """Read a whole number; typer's own converters do not always name the value that they refuse.

    Raises ParameterError unless it is a whole number of at least the minimum.
    """
    try:
        number = int(text)
    except ValueError:
        number = minimum - 1
    if number < minimum:
        raise ParameterError(f"{option} must be a whole number ≥ {minimum}, got {text!r}")
    return number


def number(option: str, text: str) -> float:
    """Read a number; its range is checked where it is used.

    Raises ParameterError unless it is a number.
    """
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"{option} must be a number, got {text!r}") from None


def command_line(*words: str, **options: object) -> str:
    """Return a command line with the options that are given, quoted for a shell; a list repeats its option."""
    parts = list(words)
    for name, value in options.items():
        for each in value if isinstance(value, (list, tuple)) else () if value is None else (value,):
            parts += [f"--{name}", str(each)]
    return shlex.join(["crossgate", *parts])
