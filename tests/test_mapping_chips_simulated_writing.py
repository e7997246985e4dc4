"""Chips written by simulated pulses: the array writer by hand, what it reports, and the test for stuck cells."""

import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console

from crossbar import Bias, Wires, write_array
from devices import ParameterError, WriteVerify
from devices.numerics.worker_threads import set_threads, threads
from mapping import compile_network, load_hardware, price, run, write
from mapping.chips.cells import write_cells
from mapping.chips.simulated_writing import found_stuck
from mapping.cli.reports.report_tables import show
from mapping.files.cache import Cache
from mapping.networks import Flatten, Linear, Network
from mapping.workflow.kept_results import written
from tests.small_networks import joined

SIMULATED = ("tile.write=simulated", "tile.adjust_outputs=false")


def compiled(*settings, chip="adaptive2d", seed=3):
    rng = np.random.default_rng(seed)
    exact = joined(rng)
    images = np.abs(rng.normal(size=(4, 2, 6, 5)))
    return compile_network(exact, load_hardware(chip).with_values(settings), images), images


def linear(*settings, outputs=3, inputs=8):
    rng = np.random.default_rng(5)
    layers = (Flatten("flat", ("input",)), Linear("fc", ("flat",), rng.normal(size=(outputs, inputs))))
    network = Network("one", (inputs, 1, 1), tuple("abcdefghijkl"[:outputs]), layers)
    images = rng.random((6, inputs, 1, 1))
    hardware = load_hardware("adaptive2d").with_values(settings)
    return compile_network(network, hardware, images), images


def test_a_tile__is_written_as_the_array_writer_does():
    program, _ = linear(*SIMULATED, "tile.compensate_stuck=false", "tile.trim_pairs=false")
    hardware, (matrix,) = program.hardware, program.all_matrices
    chip = write(program, 7)
    (placement,) = matrix.tiles
    m, c = placement.shape
    cells = hardware.spread.draw(hardware.cell, (1, m, 2 * c), np.random.default_rng([7, 0, 0, 0]))
    one = dataclasses.replace(
        cells, g_min=cells.g_min[0], g_max=cells.g_max[0], stuck_on=cells.stuck_on[0], stuck_off=cells.stuck_off[0],
        gate_offset=cells.gate_offset[0],
    )  # fmt: skip
    targets = write_cells(matrix, placement, program, (7, 0, 0)).targets[0]
    scheme = WriteVerify(v_set=0.4, v_most=0.8, v_gate_set=2.0, v_gate_reset=2.0, most_pulses=30, v_read=0.05)
    by_hand = write_array(
        one, targets, hardware.wires_in_use, scheme, np.random.default_rng([7, 0, 0, 5]), bias=Bias(v_gate_idle=-2.0),
        noise=hardware.noise,
    )  # fmt: skip
    assert np.array_equal(chip.written(matrix, 0).g_filament[0], by_hand.written.g_filament)
    without = write_array(
        one, targets, Wires(0.0, 0.0, 0.0, 0.0), scheme, np.random.default_rng([7, 0, 0, 5]),
        bias=Bias(v_gate_idle=-2.0), noise=hardware.noise,
    )  # fmt: skip
    assert not np.array_equal(without.written.g_filament, by_hand.written.g_filament)
    done = chip.programming
    assert (done.arrays, done.cells, done.pulses) == (1, m * 2 * c, int(by_hand.pulses.sum()))
    assert done.energy_J == by_hand.energy_array
    assert done.time_s == pytest.approx(by_hand.time_array + by_hand.rounds * m * 1e-6, rel=1e-12)
    shown = by_hand.written.g_filament * hardware.cell.gain_with_offset(2.0, one.gate_offset)
    error = (shown / hardware.cell.gain_high - targets) / hardware.cell.g_max
    assert done.error == pytest.approx(float(np.sqrt((error[~one.stuck] ** 2).mean())), rel=1e-9)


def test_a_network__is_written_with_all_its_tiles_and_reported(capsys):
    program, images = compiled(*SIMULATED)
    result = run(write(program), images)
    report = price(result)
    taken = report.programming
    arrays = sum(matrix.arrays * len(matrix.tiles) for matrix in program.all_matrices)
    assert taken["arrays"] == arrays
    cells = sum(matrix.stored * 2 * t.shape[0] * t.shape[1] for matrix in program.all_matrices for t in matrix.tiles)
    assert taken["cells"] == cells
    assert taken["pulses"] > taken["cells"] / 4
    assert taken["energy_J"] > 0.0
    assert 0.0 < taken["longest_array_s"] < taken["time_s"]
    assert taken["accepted"] > 0.9 * (cells - taken["stuck"])
    assert 0.003 < taken["error_rms"] < 0.03  # the band is 1 %
    assert json.loads(report.to_json())["programming"] == taken
    show(report, Console(width=200))
    text = capsys.readouterr().out
    assert "simulated: " in text
    assert f"rms error {taken['error_rms']:.2%} of g_max, {taken['error_rms_drawn']:.2%} as drawn" in text
    drawn, _ = compiled("tile.adjust_outputs=false")
    other = run(write(drawn), images)
    assert price(other).programming is None
    assert not np.array_equal(other.logits, result.logits)
    assert result.layers[0].own_error < 3.0 * other.layers[0].own_error


def test_a_written_chip__comes_back_from_the_cache_with_its_cells_and_counts(tmp_path):
    program, images = linear(*SIMULATED)
    (matrix,) = program.all_matrices
    cache = Cache(tmp_path)
    new, held = (written(program, 2, cache) for _ in range(2))
    assert held.programming == new.programming
    assert new.programming.pulses > 0
    assert np.array_equal(held.written(matrix, 0).g_filament, new.written(matrix, 0).g_filament)
    assert np.array_equal(held.simulated["fc"][0].g_filament, new.written(matrix, 0).g_filament)
    assert np.array_equal(run(held, images).logits, run(new, images).logits)


def test_stacked_kernels__are_one_array():
    program, _ = compiled(*SIMULATED, "mapping.layout=stacked")
    matrix = next(each for each in program.all_matrices if each.kind == "dynamic conv")
    cells = write_cells(matrix, matrix.tiles[0], program, (0, 1, 0))
    assert cells.programming.arrays == 1
    assert cells.written.g_filament.shape[0] == 3


def test_result__does_not_depend_on_the_number_of_threads():
    program, images = linear(*SIMULATED, "tile.rows=4")
    before = threads()
    try:
        found = []
        for count in (1, before):
            set_threads(count)
            chip = write(program, 1)
            found.append((chip.programming, run(chip, images).logits))
    finally:
        set_threads(before)
    assert found[0][0] == found[1][0]
    assert np.array_equal(found[0][1], found[1][1])


def test_stuck_cells__that_the_test_misses_are_not_compensated(rng):
    stuck = rng.random((40, 50)) < 0.3
    assert found_stuck(stuck, 0.0, rng) is stuck
    assert not found_stuck(stuck, 1.0, rng).any()
    half = found_stuck(stuck, 0.5, rng)
    assert not np.any(half & ~stuck)
    assert half.sum() / stuck.sum() == pytest.approx(0.5, abs=0.1)

    def targets(*settings):
        program, _ = linear("spread.stuck_on=0.05", "spread.stuck_off=0.1", *settings, outputs=8, inputs=30)
        (matrix,) = program.all_matrices
        return write_cells(matrix, matrix.tiles[0], program, (0, 0, 0)).targets

    off = targets("tile.compensate_stuck=false", "tile.trim_pairs=false")
    assert np.array_equal(targets("tile.stuck_missed=1"), off)
    some = [np.count_nonzero(targets(f"tile.stuck_missed={q}") != off) for q in (0.0, 0.5, 1.0)]
    assert some[0] > some[1] > some[2] == 0


def test_errors__grow_with_the_stuck_cells_that_are_missed():
    both = []
    for q in (0.0, 1.0):
        program, images = linear(
            "spread.stuck_off=0.1", "tile.adjust_outputs=false", f"tile.stuck_missed={q}", outputs=8, inputs=60
        )
        both.append(np.mean([run(write(program, seed), images).layers[-1].own_error for seed in range(3)]))
    assert both[1] > 1.3 * both[0]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["cell.preset=vteam"], "needs cells whose state moves"),
        (["spread.verified=false"], "spread.verified must be true"),
        (["mapping.layout=reprogram"], "mixed is rewritten for every image"),
    ],
)
def test_simulated__is_refused_where_it_cannot_be(settings, sentence):
    if settings == ["cell.preset=vteam"]:
        program, _ = linear(*settings, "tile.write=simulated", "spread.window_low_ln_sigma=0.1")
    else:
        program, _ = compiled(*settings, "tile.write=simulated")
    with pytest.raises(ParameterError, match=sentence):
        write(program)


def test_keys__out_of_bounds_are_refused():
    with pytest.raises(ParameterError, match="write must be one of drawn, simulated, got 'guessed'"):
        load_hardware("adaptive2d").with_values(["tile.write=guessed"])
    with pytest.raises(ParameterError, match="stuck_missed must be"):
        load_hardware("adaptive2d").with_values(["tile.stuck_missed=1.5"])
