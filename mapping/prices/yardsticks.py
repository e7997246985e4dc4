"""Comparison: the energy of an image's operations on GPUs at their peak, in a brain, and on published chips.

An operation is a multiplication or an addition, so each multiplication of the exact network counts as two. A synaptic
operation counts as one multiplication and one addition.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from devices.errors import ParameterError

MEASURED = Path(__file__).with_name("measured_gpu.json")  #: measurements of benchmarks/gpu.py; the file may be missing


@dataclass(frozen=True)
class Yardstick:
    """Published energy of an operation, with its range."""

    name: str
    kind: str  #: "gpu", "brain" or "chip"
    low: float  #: [J] per operation
    high: float  #: [J] per operation
    source: str


def _card(name: str, tera: float, watts: float, source: str) -> Yardstick:
    joules = watts / (tera * 1e12)
    return Yardstick(name, "gpu", joules, joules, source)


def _chip(name: str, low: float, high: float, source: str) -> Yardstick:
    """A chip of `low` to `high` TOPS/W."""
    return Yardstick(name, "chip", 1e-12 / high, 1e-12 / low, source)


#: GPUs: dense peak at full power, which no run reaches; small networks reach 5 to 30 % of it, single images far less.
#: Brain: 20 W for 1e14 to 1e16 synaptic operations per second, of two operations each.
YARDSTICKS = (
    _card("V100, FP16", 125.0, 300.0, "NVIDIA V100 data sheet: 125 TFLOP/s in tensor cores, 300 W"),
    _card("A100, FP16", 312.0, 400.0, "NVIDIA A100 data sheet: 312 TFLOP/s dense, 400 W"),
    _card("A100, INT8", 624.0, 400.0, "NVIDIA A100 data sheet: 624 TOP/s dense, 400 W"),
    _card("H100, FP16", 989.0, 700.0, "NVIDIA H100 SXM data sheet: 989 TFLOP/s dense, 700 W"),
    _card("H100, INT8", 1979.0, 700.0, "NVIDIA H100 SXM data sheet: 1979 TOP/s dense, 700 W"),
    Yardstick("brain", "brain", 1e-15, 100e-15, "20 W over 1e14 … 1e16 synaptic operations/s: 2 … 200 fJ each"),
    _chip("NeuRRAM, 6 bits in, 8 out", 9.122, 9.122, "W. Wan et al., Nature 608, 504 (2022), 130 nm"),
    _chip("HERMES, 8 bits", 2.48, 9.76, "M. Le Gallo et al., Nat. Electron. 6, 680 (2023), 14 nm, four phases to one"),
    _chip("Liu et al., 2020", 78.4, 78.4, "Q. Liu et al., ISSCC 2020, title: 78.4 TOPS/W analog ReRAM chip"),
    _chip("He et al., 2020", 25.0, 51.0, "W. He et al., IEEE Solid-State Circuits Lett. 3 (2020), 90 nm, 2-bit RRAM"),
)
BRAIN = 20e-15  #: energy of a synaptic operation at 1e15 per second [J]


@dataclass(frozen=True)
class Compared:
    """Energy of an image's useful operations elsewhere."""

    name: str
    kind: str  #: as of a Yardstick, or "measured"
    energy_J: tuple[float, float]  # noqa: N815  #: of one image, low and high
    ratio: tuple[float, float]  #: relative to this chip's energy, low and high
    source: str


def measurements(model: str, energy: float, path: Path = MEASURED) -> tuple[Compared, ...]:
    """Return measured energies of GPUs for an image of a network, compared with the energy [J] of this chip.

    low: energy above that of the idle card; high: of the whole card. Without a file of measurements there is no result.
    Raises ParameterError for a file without measurements.
    """
    if not path.is_file():
        return ()
    found = []
    try:
        for each in json.loads(path.read_text(encoding="utf-8")):
            if each["model"] != model:
                continue
            joules = max(float(each["joules_per_image_above_rest"]), 0.0), float(each["joules_per_image"])
            found.append(Compared(
                f"{each['card']}, {each['precision']}, measured, batch {each['batch']}", "measured", joules,
                (joules[0] / energy, joules[1] / energy) if energy else (0.0, 0.0),
                f"energy counter of the card, {each['images']} images, {each['date']}, driver {each['driver']}, "
                f"PyTorch {each['torch']}",
            ))  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path} holds no measurements of cards: {error!r}") from None
    return tuple(found)


def compare(operations: float, energy: float) -> tuple[Compared, ...]:
    """Return the energy of so many useful operations elsewhere, compared with the energy [J] of this chip."""
    found = []
    for each in YARDSTICKS:
        low, high = operations * each.low, operations * each.high
        ratio = (low / energy, high / energy) if energy else (0.0, 0.0)
        found.append(Compared(each.name, each.kind, (low, high), ratio, each.source))
    return tuple(found)
