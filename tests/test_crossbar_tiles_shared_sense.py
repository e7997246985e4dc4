"""Gated arrays with common sense inputs: against nodal analysis of the joined circuit, limits, a run, bad input."""

import dataclasses

import numpy as np
import pytest

from crossbar import Wires
from crossbar.reference.circuit import Circuit, wires_of
from crossbar.tiles.converters import Adc, Dac
from crossbar.tiles.written_arrays import WrittenArray, build_tiles
from crossbar.transfer.gate_nodes import GateNodes
from devices import AdaptiveMemristor, ParameterError, ReadNoise, Spread
from mapping import compile_network, load_hardware, run, write
from tests.small_networks import joined

CELL = AdaptiveMemristor()
K, M, C = 3, 12, 4
ERROR = 5e-5  # of the largest column current: columns exchange current through the rows
WIRES = Wires(1.06, 1.06, 100.0, 10.0)


def tile_of(rng, wires=WIRES, r_join=None, arrays=K):
    targets = rng.uniform(CELL.g_min, CELL.g_max, (arrays, M, 2 * C))
    written = Spread().write(CELL, targets, rng)
    nodes = GateNodes(CELL, 16, 0.25)
    held = WrittenArray(written.g_filament, written.gate_offset, nodes, 1e-5, np.zeros(C))
    (tile,) = build_tiles(CELL, [held], wires, Dac(), Adc(bits=None), ReadNoise.none(), 300.0, r_join)
    return held, tile


def circuit_currents(held, gains, v, wires, r_join):
    """Currents (2c,) of the common sense inputs by nodal analysis of all arrays at once; v: (m,) [V]."""
    k, m, n = held.g_filament.shape
    gates = CELL.gain_with_offset(CELL.gate_voltage(gains)[:, None, None], held.gate_offset)
    g = CELL.terminal_conductance(held.g_filament, gates, 0.1)
    size, parts, cells = m * n, [], []
    nodes = np.arange(2 * k * size).reshape(k, 2, m, n)
    common = 2 * k * size + np.arange(n)
    sources, ground = common[-1] + 1 + np.arange(m), common[-1] + 1 + m
    for a in range(k):
        own = dataclasses.replace(wires, r_sense=a * r_join)
        parts += wires_of(own, nodes[a, 0], nodes[a, 1], sources, common)
        cells += [(nodes[a, 0, i, j], nodes[a, 1, i, j], g[a, i, j]) for i in range(m) for j in range(n)]
    parts += [(int(node), int(ground), wires.r_sense) for node in common]
    circuit = Circuit(int(ground) + 1, np.append(sources, ground), parts, cells)
    volts, _ = circuit.solve(np.append(v, 0.0)[None])
    return volts[0, common] / wires.r_sense


def pairs(currents):
    return currents[0::2] - currents[1::2]


@pytest.mark.parametrize("r_join", [0.0, 13.0, 136.0])
def test_shared_inputs__are_those_of_the_joined_circuit(r_join, rng):
    held, tile = tile_of(rng, r_join=r_join)
    gains = held.nodes.gains[[5, 10, 15]]
    shares = rng.random((1, 1, M))
    found = tile.currents(shares, tile.mix(gains[None], 1))[0, 0]
    exact = circuit_currents(held, gains, 0.1 * shares[0, 0], WIRES, r_join)
    full = np.abs(exact).max()
    added = dataclasses.replace(tile, sense=None)  # the same arrays with their nodes at 0 V
    plain = added.currents(shares, added.mix(gains[None], 1))[0, 0]
    assert np.abs(plain - pairs(exact)).max() > 10.0 * np.abs(found - pairs(exact)).max()
    assert np.abs(found - pairs(exact)).max() < ERROR * full


def test_shared_inputs__are_exact_without_resistance_of_rows(rng):
    wires = dataclasses.replace(WIRES, r_row=0.0, r_driver=0.0)
    held, tile = tile_of(rng, wires, r_join=50.0)
    gains, shares = held.nodes.gains[[3, 9, 15]], rng.random((1, 1, M))
    found = tile.currents(shares, tile.mix(gains[None], 1))[0, 0]
    exact = circuit_currents(held, gains, 0.1 * shares[0, 0], wires, 50.0)
    assert np.abs(found - pairs(exact)).max() < 1e-9 * np.abs(exact).max()


def test_shared_inputs__couple_the_arrays(rng):
    """With a common input, opening one gate lowers the current that another array contributes."""
    held, tile = tile_of(rng, r_join=13.0)
    shut, opened = held.nodes.gains[0], held.nodes.gains[-1]
    shares = np.ones((1, 1, M))

    def current(*gains):
        return tile.currents(shares, tile.mix(np.array([gains]), 1))[0, 0]

    together = current(opened, opened, shut) - current(shut, opened, shut)
    alone = current(opened, shut, shut) - current(shut, shut, shut)
    assert np.abs(together - alone).max() > 1e-3 * np.abs(alone).max()
    free = dataclasses.replace(tile, sense=None)
    plain = [free.currents(shares, free.mix(np.array([each]), 1))[0, 0] for each in (
        (opened, opened, shut), (shut, opened, shut), (opened, shut, shut), (shut, shut, shut))]  # fmt: skip
    assert np.allclose(plain[0] - plain[1], plain[2] - plain[3], rtol=1e-9)


def test_a_run__feels_the_wire_that_joins_its_arrays():
    rng = np.random.default_rng(3)
    exact, images = joined(rng), np.abs(rng.normal(size=(6, 2, 6, 5)))
    errors = []
    for value in ("ideal", "0", "20000"):
        settings = [f"tile.r_join={value}", "tile.adjust_outputs=false"]
        program = compile_network(exact, load_hardware("adaptive2d").with_values(settings), images)
        done = run(write(program), images)
        errors.append(next(each.own_error for each in done.layers if each.name == "mixed"))
    assert errors[2] > 1.05 * errors[1]
    assert errors[0] != errors[1]


def test_one_array__has_inputs_of_its_own(rng):
    _, tile = tile_of(rng, r_join=136.0, arrays=1)
    assert tile.sense is None


def test_bad_values__are_refused(rng):
    with pytest.raises(ParameterError, match="needs one finite"):
        tile_of(rng, Wires(1.0, 1.0, 1.0, 10.0, r_sense_far=10.0), r_join=1.0)
    with pytest.raises(ParameterError, match="r_join must be ≥ 0"):
        load_hardware("adaptive2d").with_values(["tile.r_join=-1"])
