"""A mapped tile as a netlist: the currents of the chip's own tile, ngspice on the written file, and what is refused."""

import re
import shutil

import numpy as np
import pytest

from crossbar import reference_solve, run_ngspice
from devices.errors import ParameterError
from mapping import compile_network, load_hardware, write
from mapping.chips import tile_circuit, write_netlist
from tests.small_networks import joined

SMALL = ("tile.rows=16", "tile.columns=8", "tile.gate_nodes=4")


@pytest.fixture
def program(rng):
    return compile_network(joined(rng), load_hardware("adaptive2d").with_values(SMALL), rng.random((5, 2, 6, 5)))


def test_tile_circuit__is_the_tile_of_the_chip(program):
    """Through the twin, the circuit at its top gate gives what the chip's tile was reduced to."""
    chip, at = write(program, seed=3), 1
    matrix = program.matrices["mixed"][0]
    circuit = tile_circuit(program, "mixed", at, 2, seed=3)
    cell, v_read = program.hardware.cell, program.hardware.dac.v_read
    assert circuit.v_gate == cell.v_gate_max
    np.testing.assert_array_equal(circuit.v_rows, v_read)
    g = cell.terminal_conductance(circuit.array.g_filament, circuit.array.gain(circuit.v_gate)[0], v_read)
    currents = reference_solve(g, circuit.v_rows[None], program.hardware.wires_in_use).currents[0]
    tile = chip.exact.tiles[matrix.name][at]
    pairs = (
        v_read * tile.signal[2, -1].sum(-1) if tile.signal.shape[-1] == len(g) else v_read * tile.signal[2, -1].sum(0)
    )
    np.testing.assert_allclose(currents[0::2] - currents[1::2], pairs, rtol=1e-6, atol=1e-7 * np.abs(currents).max())


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="no ngspice here")
def test_command__ngspice_reads_what_it_writes(crossgate, tmp_path):
    words = ("netlist", "vgg-digits", "fc", "--chip", "two_terminal", "--out", tmp_path / "n")
    status, out, _ = crossgate(*words, "--set", "tile.rows=16", "--set", "tile.columns=8")
    assert status == 0
    rows, columns = map(int, re.match(r"(\d+) × (\d+) cells, rows at 0.05 V$", out.splitlines()[0]).groups())
    path = tmp_path / "n" / "fc-0-0.cir"
    currents = run_ngspice(path)
    assert currents.shape == (1, columns)
    assert f"Rdrv_{rows - 1}" in path.read_text()
    assert np.all(currents > 0.0)


def test_tile_circuit__refuses_by_name(program):
    for words, given, more in (
        ("unknown matrix 'mixd'; nearest valid: mixed", ("mixd",), {}),
        ("tile must be from 0 to", ("mixed", 99), {}),
        ("kernel must be from 0 to 2, got 3", ("mixed", 0, 3), {}),
        ("v_rows must have shape", ("mixed",), {"v_rows": np.zeros(3)}),
        ("v_gate must be a real number", ("mixed",), {"v_gate": "open"}),
        ("seed must be", ("mixed",), {"seed": -1}),
    ):
        with pytest.raises(ParameterError, match=re.escape(words)):
            tile_circuit(program, *given, **more)


def test_write_netlist__of_ungated_cells_takes_no_gate(rng, tmp_path):
    program = compile_network(
        joined(rng),
        load_hardware("two_terminal").with_values([*SMALL, "mapping.layout=digital"]),
        rng.random((5, 2, 6, 5)),
    )
    with pytest.raises(ParameterError, match=r"v_gate must be left out, as the cells have no gate, got 1\.0"):
        tile_circuit(program, "conv", v_gate=1.0)
    circuit = tile_circuit(program, "conv")
    assert circuit.v_gate is None
    write_netlist(program, circuit, tmp_path / "conv.cir")
    assert "Vsense_0" in (tmp_path / "conv.cir").read_text()
