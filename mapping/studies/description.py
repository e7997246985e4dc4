"""Descriptions of studies: the parameters of a chip that vary, their values, the kind of sweep and the seeds.

A study expands to a list of points. A point is a set of changed keys and a seed.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from devices import checks
from devices.errors import ParameterError
from mapping.data.datasets import SPLITS
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.workflow.images import CALIBRATION_IMAGES

KINDS = ("grid", "one-at-a-time", "random")
SCALES = ("linear", "log")
WHOLE_INPUTS = ("model", "chip")  #: keys that select a network or a chip description

Value = str | bool | int | float


@dataclass(frozen=True)
class Parameter:
    """One parameter of a study: keys that take the same value, and the values, as a list or a range.

    keys: such as ("wires.r_row", "wires.r_column"), or "model" or "chip" alone.  values: the list, in its order.
    low, high, steps: the range, with levels evenly spaced on the scale; whole numbers if both ends are whole. A random
    study draws from the list, or anywhere between low and high.  name: heading of the column; default: the first key.
    Raises ParameterError unless exactly one of list and range is given and is valid.
    """

    keys: tuple[str, ...]
    values: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    steps: int | None = None
    scale: str = "linear"
    name: str = ""

    def __post_init__(self) -> None:
        given: object = self.keys
        keys = (given,) if isinstance(given, str) else tuple(self.keys)
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "values", tuple(self.values))
        if not keys or not all(_is_text(key) for key in keys) or len(set(keys)) < len(keys):
            raise ParameterError(f"a parameter needs one or more different keys, got {self.keys!r}")
        for key in keys:
            if key not in WHOLE_INPUTS and "." not in key:
                raise ParameterError(
                    f"a parameter's key is SECTION.KEY of a chip description, {' or '.join(WHOLE_INPUTS)}, got {key!r}"
                )
            if key in WHOLE_INPUTS and len(keys) > 1:
                raise ParameterError(f"parameter {key!r} cannot be tied to other keys, got {', '.join(keys)}")
        one_line("a parameter's name", self.name)
        object.__setattr__(self, "name", self.name or keys[0])
        if bool(self.values) == (self.low is not None or self.high is not None or self.steps is not None):
            raise ParameterError(f"parameter {self.name!r} needs either values, or low and high, not both")
        if self.scale not in SCALES:
            raise ParameterError(
                f"parameter {self.name!r}: scale must be one of {', '.join(SCALES)}, got {self.scale!r}"
            )
        if self.values:
            self._check_values()
        else:
            self._check_range()

    def _check_values(self) -> None:
        given: tuple[object, ...] = self.values
        for value in given:
            if not isinstance(value, (str, bool, int, float)) or (isinstance(value, float) and math.isnan(value)):
                raise ParameterError(
                    f"parameter {self.name!r}: a value is a number, a text or a boolean, got {value!r}"
                )
            if isinstance(value, str):
                one_line(f"parameter {self.name!r}: a value", value)
        if len({(type(value) is bool, value) for value in self.values}) < len(self.values):
            raise ParameterError(f"parameter {self.name!r}: values must all differ, got {list(self.values)}")

    def _check_range(self) -> None:
        if self.keys[0] in WHOLE_INPUTS:
            raise ParameterError(f"parameter {self.name!r} has no range; list its values")
        if self.low is None or self.high is None:
            raise ParameterError(f"parameter {self.name!r} needs both low and high, got {self.low} and {self.high}")
        for name, value in (("low", self.low), ("high", self.high)):
            checks.number(f"parameter {self.name!r}: {name}", value)
        if not self.low < self.high:
            raise ParameterError(f"parameter {self.name!r}: low must be < high, got {self.low:g} and {self.high:g}")
        if self.scale == "log" and self.low <= 0.0:
            raise ParameterError(f"parameter {self.name!r}: low must be > 0 on a log scale, got {self.low:g}")
        if self.steps is not None:
            checks.whole(f"parameter {self.name!r}: steps", self.steps, minimum=2)

    @property
    def whole(self) -> bool:
        """Whether both ends of the range are whole numbers, so that its values are too."""
        return all(type(end) is int for end in (self.low, self.high))

    def levels(self) -> tuple[Value, ...]:
        """Return the values of a grid or a one-at-a-time study, in their order.

        Raises ParameterError for a range without steps.
        """
        if self.values:
            return self.values
        if self.low is None or self.high is None or self.steps is None:
            raise ParameterError(f"parameter {self.name!r} needs steps with low and high, or values, for this sweep")
        space = np.geomspace if self.scale == "log" else np.linspace
        numbers = space(float(self.low), float(self.high), self.steps).tolist()
        numbers[0], numbers[-1] = float(self.low), float(self.high)  # exactly the given ends
        return tuple(dict.fromkeys(round(each) for each in numbers)) if self.whole else tuple(numbers)

    def draw(self, rng: np.random.Generator) -> Value:
        """Draw one value from the list, or uniformly on the scale from low to high; whole numbers include both ends."""
        if self.low is None or self.high is None:
            return self.values[int(rng.integers(len(self.values)))]
        uniform = float(rng.random())
        low, high = float(self.low) - 0.5 * self.whole, float(self.high) + 0.5 * self.whole
        if self.scale == "log":
            value = math.exp(math.log(low) + uniform * (math.log(high) - math.log(low)))
        else:
            value = low + uniform * (high - low)
        return min(max(round(value), int(self.low)), int(self.high)) if self.whole else value


@dataclass(frozen=True)
class Point:
    """One simulation of a study: the changed parameters and the seed."""

    index: int  #: of the setting in the study; all seeds of a setting have the same
    seed: int
    varied: str  #: name of the parameter that differs from the base in a one-at-a-time study, else ""
    values: tuple[tuple[str, Value], ...]  #: (name, value) of the parameters that are set


@dataclass(frozen=True)
class Study:
    """A study: a network, a chip, parameters, the kind of sweep and the seeds; docs/studies.md documents every key.

    Raises ParameterError if the fields do not fit together.
    """

    parameters: tuple[Parameter, ...]
    model: str = "dvgg-negatives"  #: a network of the zoo, or a .npz or .onnx file
    chip: str = "adaptive2d"  #: a bundled description, or a .toml file
    settings: tuple[str, ...] = ()  #: KEY=VALUE settings of every point, such as "wires.r_row=2.8"
    sweep: str = "grid"  #: one of KINDS
    seeds: tuple[int, ...] = (0,)  #: each is the seed of a chip's variability and of its read noise
    points: int | None = None  #: number of settings that a random study draws
    draw: int = 0  #: seed of these settings
    images: int | None = None  #: number of images of the split; None: all
    split: str = "test"  #: of the data set
    data: str | None = None  #: folder of the images; None: bundled, cached or downloaded images
    calibration: int = CALIBRATION_IMAGES  #: number of training images that fix converter ranges and digital scales
    until_lost: bool = False  #: also find the number of images after which reads have cost one point of accuracy
    name: str = "study"
    about: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for each in ("parameters", "settings", "seeds"):
            object.__setattr__(self, each, tuple(getattr(self, each)))
        if self.sweep not in KINDS:
            raise ParameterError(f"sweep must be one of {', '.join(KINDS)}, got {self.sweep!r}")
        if self.split not in SPLITS:
            raise ParameterError(f"split must be one of {', '.join(SPLITS)}, got {self.split!r}")
        if not self.parameters:
            raise ParameterError("a study needs at least one parameter, got none")
        if not self.seeds:
            raise ParameterError("a study needs at least one seed, got none")
        for seed in self.seeds:
            checks.whole("a seed", seed, minimum=0)
        if len(set(self.seeds)) < len(self.seeds):
            raise ParameterError(f"seeds must all differ, got {list(self.seeds)}")
        checks.whole("draw", self.draw, minimum=0)
        checks.whole("calibration", self.calibration, minimum=1)
        if self.images is not None:
            checks.whole("images", self.images, minimum=1)
        if (self.points is None) == (self.sweep == "random"):
            wanted = "needs points" if self.sweep == "random" else "takes no points"
            raise ParameterError(f"a {self.sweep} sweep {wanted}, got {self.points}")
        if self.points is not None:
            checks.whole("points", self.points, minimum=1)
        names = [parameter.name for parameter in self.parameters]
        keys = [key for parameter in self.parameters for key in parameter.keys]
        for what, given in (("name", names), ("key", keys)):
            twice = sorted({each for each in given if given.count(each) > 1})
            if twice:
                raise ParameterError(f"two parameters have the {what} {', '.join(twice)}")
        if self.sweep != "random":
            for parameter in self.parameters:
                parameter.levels()

    @property
    def models(self) -> tuple[str, ...]:
        """Networks of the study."""
        return self._inputs("model")

    @property
    def chips(self) -> tuple[str, ...]:
        """Chip descriptions of the study."""
        return self._inputs("chip")

    def _inputs(self, key: str) -> tuple[str, ...]:
        base: str = getattr(self, key)
        listed = [str(each) for parameter in self.parameters if parameter.keys == (key,) for each in parameter.values]
        if self.sweep == "one-at-a-time" or not listed:
            listed = [base, *listed]
        return tuple(dict.fromkeys(listed))

    def all_points(self) -> tuple[Point, ...]:
        """Return all points: the seeds of the first setting, then those of the next."""
        found = []
        for index, (varied, values) in enumerate(self._settings()):
            found += [Point(index, seed, varied, values) for seed in self.seeds]
        return tuple(found)

    def _settings(self) -> list[tuple[str, tuple[tuple[str, Value], ...]]]:
        names = [parameter.name for parameter in self.parameters]
        if self.sweep == "grid":
            levels = itertools.product(*(parameter.levels() for parameter in self.parameters))
            return [("", tuple(zip(names, values, strict=True))) for values in levels]
        if self.sweep == "random":  # a random stream for each setting: more points keep the first ones unchanged
            streams = [np.random.default_rng([self.draw, index]) for index in range(self.points or 0)]
            return [
                ("", tuple((parameter.name, parameter.draw(rng)) for parameter in self.parameters)) for rng in streams
            ]
        found: list[tuple[str, tuple[tuple[str, Value], ...]]] = [("", ())]
        for parameter in self.parameters:
            base = self.base_value(parameter)
            found += [(parameter.name, ((parameter.name, each),)) for each in parameter.levels() if each != base]
        return found

    def base_value(self, parameter: Parameter) -> Value | None:
        """Return the value of a parameter at the base; None if its keys differ there or have no value."""
        if parameter.keys[0] in WHOLE_INPUTS:
            whole: str = getattr(self, parameter.keys[0])
            return whole
        hardware = load_hardware(self.chip).with_values(self.settings, where=f"settings of {self.name}")
        found = {held_value(hardware, key) for key in parameter.keys}
        return found.pop() if len(found) == 1 else None

    def resolve(self, point: Point) -> tuple[str, Hardware]:
        """Return the network's name or path and the chip description of a point.

        Raises ParameterError if a key is unknown or a value is out of bounds.
        """
        by_name = {parameter.name: parameter for parameter in self.parameters}
        model, chip, changed = self.model, self.chip, []
        for name, value in point.values:
            keys = by_name[name].keys
            if keys == ("model",):
                model = str(value)
            elif keys == ("chip",):
                chip = str(value)
            else:
                changed += [(name, f"{key}={toml_value(value)}") for key in keys]
        hardware = load_hardware(chip).with_values(self.settings, where=f"settings of {self.name}")
        try:
            return model, hardware.with_values(setting for _, setting in changed)
        except ParameterError as error:
            raise self._blamed(error, hardware, changed) from None

    def _blamed(self, error: ParameterError, hardware: Hardware, changed: Sequence[tuple[str, str]]) -> ParameterError:
        """Return the error of settings as that of the parameter that causes it, or of all if none alone does."""
        names = list(dict.fromkeys(name for name, _ in changed))
        for name in names:
            try:
                hardware.with_values(
                    (setting for each, setting in changed if each == name), where=f"parameter {name!r} of {self.name}"
                )
            except ParameterError as alone:
                return alone
        text = str(error).removeprefix("--set: ")
        return ParameterError(f"parameters {', '.join(map(repr, names))} of {self.name}: {text}")


def held_value(hardware: Hardware, key: str) -> Value | None:
    """Return a key's value on a chip description, as in a chip file; None for a key without a value, as cell.preset."""
    section, _, name = key.partition(".")
    part = getattr(hardware, section, None)
    if part is None or not hasattr(part, name):
        return None
    value = getattr(part, name)
    if value is None:
        return "ideal"
    return value if isinstance(value, (str, bool, int, float)) else None


def toml_value(value: object) -> str:
    """Format a value as a chip file does."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (int, float)) else str(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def one_line(what: str, text: object) -> None:
    """Raise ParameterError unless a value is a text on one line."""
    if not isinstance(text, str) or any(each in text for each in "\r\n"):
        raise ParameterError(f"{what} must be a text on one line, got {text!r}")
