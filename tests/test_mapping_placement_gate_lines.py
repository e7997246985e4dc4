"""Gate lines of a run: sag against the gate network and the whole circuit, energy and time against closed forms."""

import dataclasses

import numpy as np
import pytest

from crossbar import GateLines, gate_voltages, reference_gates, solve
from devices import ParameterError
from mapping import compile_network, load_hardware, price, price_estimate, run, write
from mapping.inference.worst_array import close_up
from mapping.placement.gate_lines import gate_lines, gate_reach, held_squares
from mapping.prices.estimates import estimate, histograms
from mapping.prices.timing import t_gates
from tests.small_networks import joined

LEAKY = ("cell.g_gate_leak=2e-7", "gate_dac.r_relative=20", "tile.gate_nodes=16", "tile.family_error=0")
QUIET = ("adc.offset=0", "tile.adjust_outputs=false")


def compiled(*settings, seed=3, chip="adaptive2d"):
    rng = np.random.default_rng(seed)
    exact = joined(rng)
    images = np.abs(rng.normal(size=(8, 2, 6, 5)))
    return compile_network(exact, load_hardware(chip).with_values([*settings]), images), images


def matrix_of(program, kind):
    return next(each for each in program.all_matrices if each.kind == kind)


@pytest.mark.parametrize("layout", ["parallel", "stacked"])
def test_a_tile__is_the_array_behind_the_gate_network(layout, rng):
    """The run's tile against `solve` with the voltages of the gate network, and against gates and array as one."""
    program, _ = compiled(*LEAKY, *QUIET, f"mapping.layout={layout}")
    hardware, matrix = program.hardware, matrix_of(program, "dynamic conv")
    cell, wires, v_read = hardware.cell, hardware.wires_in_use, hardware.dac.v_read
    chip = write(program)
    written, (m, c) = chip.written(matrix, 0), matrix.tiles[0].shape
    gains = written.nodes.gains[[4, 9, 15]][None]  # where nothing is interpolated
    shares = rng.random((1, 1, m))
    if layout == "stacked":
        made = chip.banks[matrix.name][0].at(gains).tile
        found = made.currents(shares, made.mix(np.zeros((1, 1)), 1))[0, 0]
    else:
        tile = chip.tiles[matrix.name][0]
        found = tile.currents(shares, tile.mix(gains, 1))[0, 0]
    lines = GateLines("tile", 20 * 1.06, 20 * 100.0, r_spine=20 * 1.06, g_gate_leak=2e-7)
    drivers = cell.gate_voltage(gains)
    volts = [gate_voltages(lines, drivers[:, k : k + 1], (m, 2 * c)).v_gate[0] for k in range(3)]
    assert max(float(np.abs(v / u - 1.0).max()) for v, u in zip(volts, drivers[0], strict=True)) > 0.02
    g = [
        cell.terminal_conductance(each, cell.gain_with_offset(v, offset), v_read)
        for each, offset, v in zip(written.g_filament, written.gate_offset, volts, strict=True)
    ]
    v = v_read * shares[0]
    whole = [np.concatenate(g)] if layout == "stacked" else g
    currents = sum(solve(each, np.tile(v, len(each) // m), wires).currents[0] for each in whole)
    full = np.abs(currents).max()
    assert np.abs(found - (currents[0::2] - currents[1::2])).max() < 1e-9 * full
    without = written.g_filament * 0.0 + [cell.terminal_conductance(each, cell.gain_with_offset(u, offset), v_read)
        for each, offset, u in zip(written.g_filament, written.gate_offset, drivers[0], strict=True)]  # fmt: skip
    flat = [np.concatenate(list(without))] if layout == "stacked" else list(without)
    plain = sum(solve(each, np.tile(v, len(each) // m), wires).currents[0] for each in flat)
    assert np.abs(plain - currents).max() > 1e-2 * full  # the sag is not small here
    if layout == "parallel":  # leakage into the columns, which a run leaves out, subtracts within a pair
        exact = sum(
            reference_gates(each, v, wires, lines, drivers[:, k : k + 1])[0].currents[0] for k, each in enumerate(g)
        )
        leaked = exact - currents
        assert np.abs(leaked).max() > 0.0
        assert np.abs(leaked[0::2] - leaked[1::2]).max() < 0.02 * np.abs(leaked).max()


def test_column_gates__have_a_line_for_each_pair():
    program, _ = compiled(*LEAKY)
    matrix = dataclasses.replace(matrix_of(program, "conv"), column_gates=True)
    reach = gate_reach(matrix, (9, 8), program.hardware)
    line = gate_voltages(
        GateLines("column", 20 * 1.06, 20 * 100.0, g_gate_leak=4e-7), np.ones((1, 4)), (9, 4)
    ).v_gate[0]  # fmt: skip
    assert np.allclose(reach[:, ::2], line, rtol=1e-12)
    assert np.array_equal(reach[:, ::2], reach[:, 1::2])
    assert np.all(np.diff(reach[:, 0]) < 0.0)


def test_sag__grows_with_leakage_and_resistance_and_is_left_out_where_it_is_nothing():
    program, images = compiled(*QUIET)
    matrix, shape = matrix_of(program, "dynamic conv"), (128, 128)
    assert gate_reach(matrix, shape, program.hardware) is None
    hardware = [
        program.hardware.with_values([f"cell.g_gate_leak={leak}", f"gate_dac.r_relative={ratio}"])
        for leak, ratio in ((1e-9, 1.0), (1e-8, 1.0), (1e-8, 10.0))
    ]
    least = [float(gate_reach(matrix, shape, each).min()) for each in hardware]
    assert 1.0 > least[0] > least[1] > least[2] > 0.0
    assert gate_reach(matrix, shape, load_hardware("two_terminal")) is None
    ideal = program.hardware.with_values(["cell.g_gate_leak=1e-6"]).idealised()
    assert gate_reach(matrix, shape, ideal) is None
    dry, _ = compiled(*QUIET, "cell.g_gate_leak=0")
    assert np.array_equal(run(write(program), images).logits, run(write(dry), images).logits)


def test_static_kernels__are_held_open_behind_their_lines():
    program, images = compiled(*LEAKY, *QUIET)
    dry, _ = compiled(*QUIET, "cell.g_gate_leak=0", "tile.gate_nodes=16")
    matrix = matrix_of(program, "conv")
    sagging, flat = (write(each).tiles[matrix.name][0].to_columns.sum() for each in (program, dry))
    assert sagging < 0.99 * flat
    assert run(write(program), images).layers[0].own_error > run(write(dry), images).layers[0].own_error


def test_energy__is_the_power_of_leaking_gates_times_the_interval():
    program, images = compiled(*LEAKY)
    hardware, matrix = program.hardware, matrix_of(program, "dynamic conv")
    result = run(write(program), images)
    report = price(result)
    dry = price(result, costs=hardware.costs)
    assert dry.energy_J_per_image == report.energy_J_per_image
    trace = next(each for each in result.layers if each.name == "mixed")
    gains = hardware.gate_dac.gains(matrix.gate_attention(trace.attention), hardware.cell)
    volts = hardware.gate_dac.voltages(gains, hardware.cell)
    lines, power = gate_lines(matrix, hardware), 0.0
    for tile in matrix.tiles:
        shape = (tile.shape[0], 2 * tile.shape[1])
        for k in range(3):
            power += float(gate_voltages(lines, volts[:, k : k + 1], shape).power.mean())
    opened = 0.0
    for other in program.of("mixed"):
        if not other.gated:
            for tile in other.tiles:
                top = np.full((1, 1), hardware.cell.v_gate_max)
                opened += float(gate_voltages(lines, top, (tile.shape[0], 2 * tile.shape[1])).power[0])
    layer = next(each for each in report.layers if each.name == "mixed")
    quiet = dataclasses.replace(hardware, cell=dataclasses.replace(hardware.cell, g_gate_leak=0.0))
    without = price(dataclasses.replace(result, chip=dataclasses.replace(
        result.chip, program=dataclasses.replace(program, hardware=quiet))))  # fmt: skip
    before = next(each for each in without.layers if each.name == "mixed")
    more = layer.energy_by_component_J["gates"] - before.energy_by_component_J["gates"]
    assert more == pytest.approx((power + opened) / report.images_per_s, rel=1e-9)
    assert report.energy_J_per_image > without.energy_J_per_image


def test_estimate__follows_the_sag_and_its_energy():
    program, images = compiled(*LEAKY)
    dry, _ = compiled("cell.g_gate_leak=0")
    found, ran = price_estimate(program, images), price(run(write(program), images))
    assert found.energy_J_per_image == pytest.approx(ran.energy_J_per_image, rel=0.05)
    done, without = (estimate(each, histograms(each, images))["conv"] for each in (program, dry))
    assert done.joules_array < 0.99 * without.joules_array
    reached = {each.name: each.activity.joules_array for each in run(write(program), images).layers}
    assert done.joules_array == pytest.approx(reached["conv"], rel=0.05)


def test_settling__takes_longer_over_resistive_lines():
    program, _ = compiled()
    matrix = matrix_of(program, "dynamic conv")
    slow = program.hardware.with_values(["gate_dac.r_relative=1e6"])
    assert t_gates(matrix, program.hardware, program.hardware.costs) == program.hardware.gate_dac.t_settle
    assert t_gates(matrix, slow, slow.costs) > 2.0 * slow.gate_dac.t_settle


def test_held_squares__counts_every_gated_cell_once():
    program, _ = compiled("cell.g_gate_leak=1e-15")
    matrix = matrix_of(program, "conv")
    cells = sum(2 * tile.shape[0] * tile.shape[1] for tile in matrix.tiles)
    assert held_squares(matrix, program.hardware) == pytest.approx(2.0**2 * cells, rel=1e-12)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [("gate_dac.r_relative=-1", "r_relative must be ≥ 0"), ("cell.g_gate_leak=-1e-12", "g_gate_leak must be ≥ 0"),
     ("cell.g_gate_leak=5", "from 1e-24 to 1 S")],
)  # fmt: skip
def test_keys__out_of_bounds_are_refused(setting, sentence):
    with pytest.raises(ParameterError, match=sentence):
        load_hardware("adaptive2d").with_values([setting])


def test_worst_array__shows_the_gates_behind_their_lines():
    program, images = compiled(*LEAKY)
    found = close_up(run(write(program), images))
    if found.v_cells is None:
        raise AssertionError("the gates of this chip sag")
    assert found.v_cells.shape == found.array.shape
    assert np.all(np.abs(found.v_cells) <= abs(found.v_gate))
    assert not np.allclose(found.v_cells, found.v_gate, rtol=1e-3)
