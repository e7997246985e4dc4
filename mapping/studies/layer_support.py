"""What every kind of layer can do: found by running a small network around each, not by hand.

Each cell of the tables is a short word that follows from numbers; the limits are below.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crossbar.tiles.activity import Activity
from devices.errors import MappingError
from mapping.hardware.description import LAYOUTS, Hardware
from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.inference.traces import LayerTrace
from mapping.networks.graph import Network
from mapping.networks.layers.activations import Activation
from mapping.networks.layers.arithmetic import Scale
from mapping.networks.layers.base import Layer, one_of
from mapping.networks.layers.convolutions import DynamicConv
from mapping.networks.layers.examples import MADE, example_images, example_layers
from mapping.networks.layers.pools import GlobalAveragePool
from mapping.placement.program import Program
from mapping.prices.digital_counts import work_of
from mapping.prices.estimates import estimate, histograms
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

IMAGES = 4  # that each example runs with, ours
DOUBLE, SINGLE = 1e-12, 1e-4  # of the largest output: what counts as exact on the ideal chip, and in float32; ours
UNCERTAIN = 0.05  # of an expected count against that of a run: docs/equations/costs.md eq. 19
SEEN = 1e-9  # of a layer's outputs: a deviation that shows, ours; rounding leaves 1e-15
#: counts that an estimate has from histograms
EXPECTED = ("joules_array", "row_pulses", "cell_reads", "gate_swing", "gate_holding", "joules_gates")

COLUMNS = ("layer", "exact", "ideal chip", "full chip", "estimate", "layouts", "read noise", "trains")
ARRANGEMENTS = ("one matrix", *LAYOUTS, "gates of columns")
REAL_CELLS = "cell.preset=adaptive_2d"
#: one deviation each on a chip that has no other: what it is called, and the keys that switch it on
DEVIATIONS = {
    "wires (IR drop)": ("wires.r_row=30", "wires.r_column=30"),
    "drivers and sense nodes": ("wires.r_driver=100", "wires.r_sense=10"),
    "verified write error": ("spread.write_error=0.02",),
    "spread of the window": ("spread.window_low_ln_sigma=0.3", "spread.window_high_cv=0.06"),
    "stuck cells": ("spread.stuck_on=0.02", "spread.stuck_off=0.02"),
    "offsets of gates": ("spread.gate_offset_line=0.02", "spread.gate_offset_cell=0.05"),
    "codes of row drivers": ("dac.bits=6",),
    "codes of converters": ("adc.bits=6",),
    "offsets of converters": ("adc.bits=8", "adc.offset=2"),
    "gains of row drivers": ("dac.gain_error=0.02",),
    "gains of converters": ("adc.gain_error=0.02",),
    "nonlinearity of converters": ("adc.bits=8", "adc.inl=1", "adc.dnl=0.5"),
    "noise of converters": ("adc.comparator_noise=0.01",),
    "codes of gate drivers": ("gate_dac.bits=4",),
    "thermal and shot noise": ("noise.thermal_shot=true",),
    "1/f noise": ("noise.flicker=true",),
    "random telegraph noise": ("noise.telegraph=true",),
    "law of cells at other gains": (REAL_CELLS,),
    "age": ("retention.age=1e5",),
}  # fmt: skip

#: ways to store weights: what they are called, and the keys that ask for them
STORAGE = {
    "differential pairs": (),
    "offset columns": ("tile.encoding=offset",),
    "4 slices of 4 levels": ("tile.slices=4", "tile.levels=4"),
    "offset columns, 4 slices of 4 levels": ("tile.encoding=offset", "tile.slices=4", "tile.levels=4"),
    "ternary (pairs of 2 levels)": ("tile.levels=2",),
    "binary (offset columns of 2 levels)": ("tile.encoding=offset", "tile.levels=2"),
}

#: says whether a program trains, in a word
Trains = Callable[[Program], str]


@dataclass(frozen=True)
class Support:
    """What one kind of layer can do, a short word for each column."""

    layer: str
    exact: str
    ideal: str
    full: str
    estimate: str
    layouts: str
    noise: str
    trains: str

    @property
    def row(self) -> tuple[str, ...]:
        """The words in the order of COLUMNS."""
        return dataclasses.astuple(self)


def support(names: Sequence[str] | None = None, trains: Trains | None = None) -> tuple[Support, ...]:
    """Run the example of every kind, or of those named, and say what it can do.

    Variants of one kind (`Activation, tanh`) share a row; where they differ each word stands once.
    trains: tells what becomes of a program in training; None: "not tried".
    """
    rows: dict[str, list[Support]] = {}
    for name in MADE if names is None else names:
        rows.setdefault(name.split(", ")[0], []).append(_supported(name, trains))
    return tuple(_joined(kind, held) for kind, held in rows.items())


def deviations() -> dict[str, tuple[bool, ...]]:
    """Say which deviation, alone on a chip, shows in the outputs of which of ARRANGEMENTS."""
    images = example_images(IMAGES)
    found = {}
    for name, values in DEVIATIONS.items():
        shown = []
        for arrangement in ARRANGEMENTS:
            network, keys = _arranged(arrangement)
            before = [*keys, REAL_CELLS] if name == "age" else keys  # cells that multiply exactly never change
            errors = [
                _own(compile_network(network, load_hardware("ideal").with_values(each), images), images).own_error
                for each in (before, [*before, *values])
            ]
            shown.append(abs(errors[1] - errors[0]) > SEEN)
        found[name] = tuple(shown)
    return found


def storage() -> dict[str, tuple[str, ...]]:
    """Say for each way of storing weights whether each of ARRANGEMENTS is exact, has rounded weights or is refused."""
    images, found = example_images(IMAGES), {}
    for name, values in STORAGE.items():
        words = []
        for arrangement in ARRANGEMENTS:
            network, keys = _arranged(arrangement)
            try:
                program = compile_network(network, load_hardware("ideal").with_values([*keys, *values]), images)
            except MappingError:
                words.append("")
                continue
            words.append("exact" if _own(program, images).own_error <= 100.0 * DOUBLE else "rounded")
        found[name] = tuple(words)
    return found


def arranged(arrangement: str) -> Program:
    """Return the example of one of ARRANGEMENTS, compiled for the ideal chip.

    Raises ParameterError for another arrangement.
    """
    one_of("arrangement", arrangement, ARRANGEMENTS)
    network, keys = _arranged(arrangement)
    return compile_network(network, load_hardware("ideal").with_values(keys), example_images(IMAGES))


def _supported(name: str, trains: Trains | None) -> Support:
    network, images = _network(example_layers(name)), example_images(IMAGES)
    wanted, single = network.forward(images), network.forward(images, single=True)
    size = float(np.abs(wanted).max())
    exact = "float64, float32" if np.abs(single - wanted).max() <= SINGLE * size else "float64"
    ideal = load_hardware("ideal")
    program = compile_network(network, ideal, images)
    on_tiles = "layer" in program.matrices
    off = float(np.abs(run(write(program), images, precision="double").logits - wanted).max()) / size
    return Support(
        name,
        exact,
        "exact" if off <= DOUBLE else f"off by {off:.0e}",
        _on_full_chip(network, images) if on_tiles else "digital",
        _estimated(network, images, on_tiles=on_tiles),
        _layouts(network, images) if isinstance(network.layer("layer"), DynamicConv) else "one" if on_tiles else "",
        _noise(network, ideal) if on_tiles else "",
        "not tried" if trains is None else trains(program),
    )


def _network(layers: tuple[Layer, ...]) -> Network:
    return Network("example", (2, 5, 6), ("a", "b", "c"), layers)


def _own(program: Program, images: np.ndarray) -> LayerTrace:
    """Trace of the layer of interest in a run."""
    result = run(write(program), images, precision="double")
    return next(trace for trace in result.layers if trace.name == "layer")


def _on_full_chip(network: Network, images: np.ndarray) -> str:
    """Whether a layer on tiles has errors of its own where everything deviates."""
    full = _own(compile_network(network, load_hardware("adaptive2d"), images), images)
    return "on tiles" if full.own_error > SEEN else "no error"


def _estimated(network: Network, images: np.ndarray, *, on_tiles: bool) -> str:
    """Compare counts of an estimate with those of a run; a digital layer's are the same by their making."""
    if not on_tiles:
        return "counted" if work_of(network)["layer"] != Activity() else "free"
    program = compile_network(network, load_hardware("ideal").with_values(["dac.bits=8"]), images)
    said, ran = estimate(program, histograms(program, images))["layer"], _own(program, images).activity
    for item in dataclasses.fields(Activity):
        one, other = getattr(said, item.name), getattr(ran, item.name)
        near = UNCERTAIN if item.name in EXPECTED else DOUBLE
        if abs(one - other) > near * max(abs(one), abs(other)):
            return f"{item.name} differs"
    return "as run"


def _layouts(network: Network, images: np.ndarray) -> str:
    """Layouts in which a dynamic layer computes exactly on the ideal chip."""
    exact = []
    for layout in LAYOUTS:
        try:
            program = compile_network(network, load_hardware("ideal").with_values([f"mapping.layout={layout}"]), images)
        except MappingError:
            continue
        if _own(program, images).own_error <= 100.0 * DOUBLE:
            exact.append(layout)
    return ", ".join(exact)


def _noise(network: Network, ideal: Hardware) -> str:
    """Whether reads of the layer's own tiles are noisy where nothing else deviates."""
    images = example_images(IMAGES)
    noisy = dataclasses.replace(ideal, noise=load_hardware("adaptive2d").noise)
    return "of its own" if _own(compile_network(network, noisy, images), images).own_error > SEEN else "none"


def _joined(kind: str, held: Sequence[Support]) -> Support:
    """One row of the variants of a kind."""
    words = [dict.fromkeys(each) for each in zip(*(one.row[1:] for one in held), strict=True)]
    return Support(kind, *("; ".join(each) for each in words))


def _arranged(arrangement: str) -> tuple[Network, list[str]]:
    """A network whose "layer" has its kernels in one arrangement, and the keys that ask for it."""
    if arrangement == "one matrix":
        return _network(example_layers("Conv, padded on some sides")), []
    if arrangement != "gates of columns":
        return _network(example_layers("DynamicConv, softmax")), [f"mapping.layout={arrangement}"]
    given, layer, *rest = example_layers("Conv")
    gates = (GlobalAveragePool("mean", ("map",)), Activation("open", ("mean",), "sigmoid"))
    flat, classes = rest
    scaled = (Scale("scaled", ("layer", "open")), dataclasses.replace(flat, inputs=("scaled",)), classes)
    return _network((given, *gates, layer, *scaled)), ["mapping.channel_attention=gates"]
