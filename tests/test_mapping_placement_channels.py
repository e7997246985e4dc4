"""Channel attention on column gates: the reference solver, the compiler pass, counts, scalings that stay digital."""

import dataclasses
import json

import numpy as np
import pytest

from crossbar import Wires, reference_solve
from crossbar.tiles.batch_tiles import ColumnTile
from crossbar.tiles.written_arrays import WrittenArray
from devices.errors import MappingError, ParameterError
from mapping.hardware.description import Choices, Hardware
from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.networks import (  # fmt: skip
    Activation,
    Add,
    Attention,
    BatchNorm,
    Clip,
    Conv,
    DynamicConv,
    GlobalAveragePool,
    HardSigmoid,
    Linear,
    Network,
    Relu,
    Reshape,
    Scale,
)
from mapping.placement.column_gates import gate_columns
from mapping.placement.folding import fold, prepare
from mapping.placement.gated_layers import GatedConv, GatedDynamicConv, MeanWindow
from mapping.placement.gating import column_gains, kernel_floor, relative_gains
from mapping.prices.estimates import estimate, histograms
from mapping.report.pricing import price
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

GATES = ("tile.rows=12", "tile.columns=8", "mapping.channel_attention=gates")


def normed(rng, name, source, channels):
    return BatchNorm(name, (source,), rng.uniform(0.5, 1.5, channels), *rng.normal(0.0, 0.2, (2, channels)),
                     rng.uniform(0.5, 2.0, channels))  # fmt: skip


def excited(rng, own=True, relu=False, groups=1):
    """conv (2 → 4) → batch norm → (ReLU) → scale by attention to its own maps, or to the image; pool; classes."""
    maps = "relu" if relu else "norm"
    layers = [
        Conv("conv", ("input",), rng.normal(size=(4, 2 // groups, 3, 3)), rng.normal(size=4), (2, 1), (1, 1),
             groups=groups),
        normed(rng, "norm", "conv", 4),
        *([Relu("relu", ("norm",))] if relu else []),
        GlobalAveragePool("pool", (maps if own else "input",)),
        Linear("fc1", ("pool",), rng.normal(size=(3, 4 if own else 2)), rng.normal(size=3)),
        Relu("fc1.relu", ("fc1",)),
        Linear("fc2", ("fc1.relu",), rng.normal(size=(4, 3))),
        Activation("sigmoid", ("fc2",), "sigmoid"),
        Scale("scale", (maps, "sigmoid")),
        Relu("out", ("scale",)),
        GlobalAveragePool("last", ("out",)),
        Linear("classes", ("last",), rng.normal(size=(3, 4))),
    ]  # fmt: skip
    return Network("excited", (2, 6, 5), tuple("abc"), tuple(layers))


def omni(rng, kind="softmax"):
    """A dynamic convolution of 3 kernels whose outputs are scaled by attention to the image; batch norm; classes."""
    gate = Attention(rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=(3, 3)), None, 1.0, kind)
    layers = (
        GlobalAveragePool("pool", ("input",)),
        Linear("fc", ("pool",), rng.normal(size=(4, 2)), rng.normal(size=4)),
        Activation("filter", ("fc",), "sigmoid"),
        DynamicConv("mixed", ("input",), rng.normal(size=(3, 4, 2, 3, 3)), rng.normal(size=(3, 4)), (1, 1), (1, 1),
                    (1, 1), 1, gate),
        Scale("scale", ("mixed", "filter")),
        normed(rng, "norm", "scale", 4),
        Relu("relu", ("norm",)),
        GlobalAveragePool("last", ("relu",)),
        Linear("classes", ("last",), rng.normal(size=(3, 4))),
    )  # fmt: skip
    return Network("omni", (2, 6, 5), tuple("abc"), layers)


def changed(rng, conv, before=(), gates=None):
    """`excited` with another convolution, layers before it, and other gates."""
    network = excited(rng)
    own = [each for each in network.layers if each.name not in ("conv", "sigmoid")]
    at = next(i for i, each in enumerate(own) if each.name == "scale")
    gates = gates or (Activation("sigmoid", ("fc2",), "sigmoid"),)
    return dataclasses.replace(network, layers=(*before, conv, *own[:at], *gates, *own[at:]))


def one_dimensional(rng):
    conv = Conv("conv", ("row",), rng.normal(size=(4, 2, 1, 3)), rng.normal(size=4), padding=(0, 1))
    turned = Reshape("turned", ("fc2",), (1, 4))
    gates = (
        HardSigmoid("gates", ("turned",), 0.05),
        Reshape("sigmoid", ("gates",), (4,)),
    )  # above the floor
    return changed(rng, conv, (Reshape("row", ("input",), (2, 30)),), (turned, *gates))


def padded(rng):
    conv = Conv("conv", ("input",), rng.normal(size=(4, 2, 2, 3)), None, (2, 1), (0, 2, 1, 1))
    return changed(rng, conv, gates=(Clip("sigmoid", ("fc2",), 0.1, 0.9),))


NETWORKS = {
    "one-dimensional": one_dimensional,
    "padded on some sides": padded,
    "squeeze and excitation": excited,
    "two groups": lambda rng: excited(rng, groups=2),
    "ReLU before a scale from elsewhere": lambda rng: excited(rng, own=False, relu=True),
    "omni-dimensional": omni,
    "omni-dimensional, sigmoid": lambda rng: omni(rng, "sigmoid"),
}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(7).random((6, 2, 6, 5)) - 0.3


# the circuit


def column_tile(rng, hardware, kernels=2, m=24, c=9):
    cell = hardware.cell
    g = np.where(
        rng.random((kernels, m, 2 * c)) < 0.3, cell.g_min, rng.uniform(cell.g_min, cell.g_max, (kernels, m, 2 * c))
    )
    offset = rng.normal(0.0, 0.05, g.shape)
    written = WrittenArray(g, offset, None, 1e-5, np.zeros(c))
    return ColumnTile(
        cell, written, hardware.wires, hardware.dac, hardware.adc, hardware.noise, hardware.temperature
    )  # fmt: skip


@pytest.mark.parametrize("wires", [None, Wires(20.0, 30.0, 500.0, 200.0)], ids=["default wires", "bad wires"])
def test_columns__are_the_array_of_cells_at_those_gate_voltages(rng, wires):
    """Against the slow twin, each cell at the voltage of its column's gate with its own Dirac point: 1e-10."""
    hardware = dataclasses.replace(Hardware(), **({} if wires is None else {"wires": wires}))
    tile, cell = column_tile(rng, hardware), hardware.cell
    gains = rng.uniform(cell.gain_low, cell.gain_high, (11, 2, 9))
    ready = tile.at(gains).tile
    v = rng.random((3, 24)) * hardware.dac.v_read
    for entry in (0, 7, 10):
        wanted, power = np.zeros((3, 9)), 0.0
        for k in range(2):
            v_gate = cell.gate_voltage(np.repeat(gains[entry, k], 2))
            gain = cell.gate_gain(v_gate - tile.written.gate_offset[k])
            g = cell.terminal_conductance(tile.written.g_filament[k], gain, hardware.dac.v_read)
            slow = reference_solve(g, np.vstack([v, np.full(24, hardware.dac.v_read)]), hardware.wires)
            wanted += slow.currents[:3, 0::2] - slow.currents[:3, 1::2]
            power += float(slow.power[3])
        found = v @ ready.signal[:, entry].sum(0)
        np.testing.assert_allclose(found, wanted, rtol=0.0, atol=1e-10 * np.abs(wanted).max())
        spent = float(ready.to_columns[:, entry].sum()) * hardware.dac.v_read**2
        assert spent == pytest.approx(power, rel=1e-9, abs=0.0)


def test_columns__feel_each_others_gates_through_the_rows(rng):
    """Why nothing is interpolated: on the default wires the gates of the others move a column by 1e-3 of full scale."""
    hardware = Hardware()
    tile, cell = column_tile(rng, hardware, 1, 64, 32), hardware.cell
    gains = np.full((2, 1, 32), 0.2 * cell.gain_high)
    gains[1, 0, 1:] = cell.gain_high
    closed, opened = tile.at(gains).tile.to_columns[0], tile.at(gains).tile.signal[0, :, :, 0]
    moved = np.abs(opened[1] - opened[0]).sum() / np.abs(opened[0]).sum()
    assert 1e-3 < moved < 0.1
    assert closed[1].sum() > 2.0 * closed[0].sum()


def test_columns__equal_gates_are_one_gate(rng, images):
    """All columns at one gain: the static array held at that gain."""
    hardware = Hardware()
    tile = column_tile(rng, hardware, 1)
    both = tile.at(np.full((1, 1, 9), hardware.cell.gain_high)).tile
    g = hardware.cell.terminal_conductance(
        tile.written.g_filament[0],
        hardware.cell.gate_gain(hardware.cell.v_gate_max - tile.written.gate_offset[0]),
        hardware.dac.v_read,
    )
    slow = reference_solve(g, np.eye(24), hardware.wires).currents
    np.testing.assert_allclose(both.to_columns[0, 0], slow.sum(1), rtol=1e-9)


def test_columns__bad_gains_are_refused(rng):
    tile = column_tile(rng, Hardware())
    with pytest.raises(ParameterError, match=r"gains must have shape \(any, 2, 9\), got \(3, 2, 8\)"):
        tile.at(np.full((3, 2, 8), 0.5))
    with pytest.raises(ParameterError, match=r"gains must lie between 0\.0\d+ and 0\.\d+, got 0\.5 to 1\.5"):
        tile.at(np.stack([np.full((2, 9), 0.5), np.full((2, 9), 1.5)]))


# the pass


@pytest.mark.parametrize("kind", NETWORKS)
def test_pass__leaves_the_numbers_as_they_are(kind, rng, images):
    network = NETWORKS[kind](rng)
    gated, why = gate_columns(fold(network), Choices())
    assert why == {}
    assert not any(isinstance(layer, (Scale, BatchNorm)) for layer in gated.layers)
    wanted = network.forward(images)
    np.testing.assert_allclose(gated.forward(images), wanted, rtol=0.0, atol=1e-12 * np.abs(wanted).max())


def test_pass__squeezes_from_the_mean_window(rng, images):
    """The FC layer behind the squeeze takes kernel and mean at once: 18 inputs, 3 outputs; one read of the kernel."""
    gated, _ = gate_columns(fold(excited(rng)), Choices())
    window, fc = gated.layer("pool"), gated.layer("fc1")
    assert isinstance(window, MeanWindow)
    assert fc.weight.shape == (3, 18)
    conv = gated.layer("conv")
    assert isinstance(conv, GatedConv)
    rows = conv.unroll([images])
    np.testing.assert_allclose(window.apply(images), rows.mean(1), rtol=0.0, atol=1e-14)
    assert [layer.name for layer in gated.layers].index("sigmoid") < [x.name for x in gated.layers].index("conv")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda n: {"scale": Scale("scale", ("norm", "fc2"))}, "fc2 is not known to lie between 0 and 1, as gates do"),
        (lambda n: {"norm": Activation("norm", ("conv",), "hard-swish")},
         "it scales norm, a Activation, no convolution with at most a ReLU behind it"),
        (lambda n: {"last": GlobalAveragePool("last", ("more",)), "more": Add("more", ("out", "norm"))},
         "conv is used without the scale as well"),
    ],
)  # fmt: skip
def test_pass__says_why_a_scale_stays_digital(change, why, rng):
    network = excited(rng)
    layers = {layer.name: layer for layer in network.layers} | change(network)
    if "more" in layers:
        layers["last"], layers["classes"] = (layers.pop(name) for name in ("last", "classes"))
    if "sigmoid" not in {source for layer in layers.values() for source in layer.inputs}:
        del layers["sigmoid"]
    changed = dataclasses.replace(network, layers=tuple(layers.values()))
    same, found = gate_columns(fold(changed), Choices())
    assert found == {"scale": why}
    assert [layer.name for layer in same.layers] == [layer.name for layer in fold(changed).layers]


def test_pass__does_not_read_a_convolution_twice(rng):
    _, why = gate_columns(fold(excited(rng, relu=True)), Choices())
    assert why == {
        "scale": "its numbers come from conv itself, which has a ReLU behind it: it would have to be read twice"
    }
    _, why = gate_columns(fold(omni(rng)), Choices(layouts={"mixed": "stacked"}))
    assert why == {"scale": "mixed has the layout 'stacked', and only parallel arrays have such gates"}


# on a chip


@pytest.mark.parametrize("kind", NETWORKS)
def test_ideal_chip__computes_the_exact_network(kind, rng, images):
    network = NETWORKS[kind](rng)
    hardware = load_hardware("ideal").with_values(GATES)
    result = run(write(compile_network(network, hardware, images), 3), images, precision="double")
    wanted = network.forward(images)
    np.testing.assert_allclose(result.logits, wanted, rtol=0.0, atol=1e-10 * np.abs(wanted).max())


def test_run__counts_gates_and_saves_multiplications(images):
    """Every pair of columns of every row tile is one gate line; what was a product for each value is none."""
    network = excited(np.random.default_rng(5))
    results = {
        way: run(write(compile_network(network, Hardware().with_values([*GATES, f"mapping.channel_attention={way}"]),
                                       images), 3), images, seed=1)
        for way in ("gates", "digital")
    }  # fmt: skip
    traces = {way: {trace.name: trace for trace in result.layers} for way, result in results.items()}
    conv = traces["gates"]["conv"]
    (matrix,) = results["gates"].chip.program.matrices["conv"]
    assert matrix.column_gates
    assert matrix.gate_lines == 4
    assert conv.activity.gate_updates == 2 * 4  # two row tiles of 9 rows, 4 pairs
    hardware = results["gates"].chip.program.hardware
    gains = column_gains(relative_gains(None, conv.scales, 0.0), hardware.gate_dac, hardware.cell)
    swing = hardware.gate_dac.voltages(gains, hardware.cell) - hardware.cell.v_gate_min
    assert conv.activity.gate_swing == pytest.approx(2 * 18 * float((swing**2).sum()) / len(images), rel=1e-9, abs=0.0)
    assert traces["digital"]["conv"].activity.gate_updates == 0.0
    assert "scale" not in traces["gates"]
    assert conv.activity.joules_array < traces["digital"]["conv"].activity.joules_array
    assert conv.own_error < 0.5
    np.testing.assert_allclose(conv.scales.mean(0), traces["gates"]["conv"].scales.mean(0))


def test_run__batches_do_not_matter(images):
    program = compile_network(omni(np.random.default_rng(3)), Hardware().with_values(GATES), images)
    chip = write(program, 3)
    together, apart = (run(chip, images, seed=2, batch=batch) for batch in (6, 1))
    np.testing.assert_array_equal(together.logits, apart.logits)


def test_written__columns_share_a_gate_line_with_their_pair(images):
    """The line's part of the Dirac points is one number for each pair, where a tile's gate has one for all."""
    hardware = Hardware().with_values([*GATES, "spread.gate_offset_cell=0.0"])
    program = compile_network(excited(np.random.default_rng(5)), hardware, images)
    (matrix,) = program.matrices["conv"]
    offset = write(program, 1).written(matrix, 0).gate_offset[0]
    assert np.all(offset == offset[:1])
    assert np.all(offset[:, 0::2] == offset[:, 1::2])
    assert len(np.unique(offset)) == 4


def test_report__shows_who_scales(images):
    network = excited(np.random.default_rng(5))
    hardware = Hardware().with_values(GATES)
    result = run(write(compile_network(network, hardware, images), 3), images)
    report = price(result)
    layers = {layer.name: layer for layer in report.layers}
    assert 0.0 < layers["conv"].column_gain < 1.0
    assert report.digital_scales == {}
    assert layers["conv"].energy_by_component_J["gates"] > 0.0
    assert layers["conv"].latency_by_phase_s["gates"] >= hardware.gate_dac.t_settle
    page = report.to_html(result)
    assert "Channel attention" in page
    json.loads(report.to_json())
    stays = run(write(compile_network(excited(np.random.default_rng(5), relu=True), hardware, images), 3), images)
    report = price(stays)
    assert report.digital_scales == {
        "scale": "its numbers come from conv itself, which has a ReLU behind it: it would have to be read twice"
    }
    assert "it would have to be read twice" in report.to_html()


@pytest.mark.parametrize("kind", ["squeeze and excitation", "omni-dimensional"])
def test_estimate__counts_what_a_run_counts(kind, images):
    network = NETWORKS[kind](np.random.default_rng(2))
    program = compile_network(network, Hardware().with_values(GATES), images)
    found = estimate(program, histograms(program, images))
    for trace in run(write(program, 1), images).layers:
        if trace.name in found:
            for name in ("conversions", "gate_updates", "additions", "multiplications", "row_codes", "buffer_bits"):
                assert getattr(found[trace.name], name) == pytest.approx(
                    getattr(trace.activity, name), rel=1e-9, abs=0.0
                ), name
            assert found[trace.name].joules_array == pytest.approx(trace.activity.joules_array, rel=0.25, abs=0.0)


# bad input


def test_chip_without_gates__is_refused(rng, images):
    chip = load_hardware("two_terminal").with_values(GATES)
    with pytest.raises(
        MappingError, match=r"conv would have its outputs scaled.*'two_terminal' have no gate.*'digital'"
    ):
        compile_network(excited(rng), chip, images)


def test_key__refuses_other_words():
    with pytest.raises(ParameterError, match="channel_attention must be one of digital, gates, got 'analogue'"):
        Hardware().with_values(["mapping.channel_attention=analogue"])


def test_gated_layers__refuse_other_shapes(rng):
    conv = Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)))
    with pytest.raises(ParameterError, match="conv takes a map and a number for each output"):
        GatedConv("conv", ("input",), conv.weight)
    gated = GatedConv("conv", ("input", "s"), conv.weight)
    with pytest.raises(ParameterError, match=r"a number for each of its 4 outputs, but s gives \(3,\)"):
        gated.output_shape((2, 6, 5), (3,))
    with pytest.raises(ParameterError, match="shift must have shape"):
        GatedConv("conv", ("input", "s"), conv.weight, shift=np.ones(3))
    mixed = omni(rng).layer("mixed")
    with pytest.raises(ParameterError, match="takes the inputs of a DynamicConv and a number for each output"):
        GatedDynamicConv(**{each.name: getattr(mixed, each.name) for each in dataclasses.fields(mixed)})


def test_floor__leaves_kernels_room_below(rng):
    """With the floor of the calibration's smallest scale no gate ends below its own, and mixing stays exact."""
    cell = Hardware().cell
    scales = rng.uniform(0.2, 1.0, (20, 5))
    floor = kernel_floor(cell, scales)
    asked = relative_gains(np.eye(3)[rng.integers(0, 3, 20)], scales, floor)
    assert asked.min() >= cell.gain_low / cell.gain_high
    assert kernel_floor(cell, np.zeros((1, 1))) == pytest.approx(10 * cell.gain_low / cell.gain_high, rel=1e-12)


def test_prepare__keeps_scales_where_the_chip_wants_them_digital(rng):
    network = excited(rng)
    same, why = prepare(network, Hardware())
    assert why == {}
    assert any(isinstance(layer, Scale) for layer in same.layers)
