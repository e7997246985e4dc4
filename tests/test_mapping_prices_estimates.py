"""Estimates from histograms against runs: equal counts where shapes decide, energies within 5 % per layer."""

import dataclasses

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping.chips.cells import written_to
from mapping.data.datasets import load_dataset
from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.networks.models import load_model
from mapping.placement.encoding import filaments, terminal_conductances
from mapping.prices.estimates import Histogram, estimate, expected, histograms, mean_written
from mapping.report.pricing import price, price_estimate
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

IMAGES = 16
EXACT = ("reads", "row_codes", "conversions", "gate_updates", "additions", "multiplications", "buffer_bits",
         "cell_writes")  # fmt: skip


def setting(*settings):
    hardware = load_hardware("adaptive2d").with_values(["tile.gate_nodes=4", *settings])  # quick to write
    training = load_dataset("digits", "train", limit=16).images
    return compile_network(load_model("dvgg-digits"), hardware, training)


@pytest.fixture(scope="module")
def program():
    return setting()


@pytest.fixture(scope="module")
def images():
    return load_dataset("digits", "test", limit=IMAGES).images


def compared(program, images):
    """Layer → (estimated, run) activities."""
    result = run(write(program), images)
    found = estimate(program, histograms(program, images))
    return {trace.name: (found[trace.name], trace.activity) for trace in result.layers if trace.name in found}


def test_estimate__is_within_5_percent_of_every_layer(program, images):
    costs, around = program.hardware.costs, program.hardware.periphery
    for name, (guess, done) in compared(program, images).items():
        for count in EXACT:
            assert getattr(guess, count) == pytest.approx(getattr(done, count), rel=1e-9), (name, count)
        one, two = (sum(costs.energies(each, around).values()) for each in (guess, done))
        assert one == pytest.approx(two, rel=0.05, abs=0.0), name
        assert guess.row_pulses == pytest.approx(done.row_pulses, rel=0.02)
        assert guess.joules_array == pytest.approx(done.joules_array, rel=0.05, abs=0.0), name


@pytest.mark.parametrize("layout", ["digital", "reprogram"])
def test_estimate__counts_of_other_layouts(layout, images):
    """One dynamic layer, all that shapes decide."""
    program = setting(f"mapping.layouts.conv5={layout}", "tile.compensate_wires=false")
    guess, done = compared(program, images[:2])["conv5"]
    for count in EXACT:
        assert getattr(guess, count) == pytest.approx(getattr(done, count), rel=1e-9), count
    assert 0.7 < guess.joules_array / done.joules_array < 1.6  # wires not made up for damp what reaches this layer


def test_expected__by_hand_of_a_matrix_whose_rows_see_two_codes(program):
    """A quarter of the codes are full, the others 0: fc has 64 rows, 10 outputs and one position."""
    same = [f"spread.{key}=0" for key in ("write_error", "window_low_ln_sigma", "stuck_on", "stuck_off")]
    program = dataclasses.replace(program, hardware=program.hardware.with_values(same))
    (matrix,) = program.matrices["fc"]
    parts = np.zeros((64, 256))
    parts[:, [0, 255]] = 0.75, 0.25
    done = expected(program, matrix, Histogram(parts, None, None))
    v, t = program.hardware.dac.v_read, program.hardware.dac.t_read
    assert (done.row_pulses, done.cell_reads, done.conversions) == (16.0, 16.0 * 20, 10.0)
    cells, wires = matrix.conductances[0], program.hardware.wires
    seen = cells / (1.0 + cells.sum(1, keepdims=True) * (wires.r_driver + 20 * wires.r_row / 3))
    held = seen.sum(0)
    joules = 0.0
    for column in range(20):
        drawn = 0.25 * held[column]  # a quarter of the rows: its voltage rises against sense resistor and line
        line = 64 * wires.r_column / 3
        risen = drawn * line / (1.0 + held[column] * line) + drawn * wires.r_sense / (
            1.0 + held[column] * wires.r_sense
        )
        joules += v * v * t * drawn * (1.0 - risen)
    assert done.joules_array == pytest.approx(joules, rel=1e-9, abs=0.0)


def test_expected__gates_that_choose_one_kernel_load_its_rows_alone(program, images):
    """Attention of one kernel per image: rows droop as under that kernel, not as under a quarter of all."""
    found = histograms(program, images)["conv4"]
    (matrix,) = program.matrices["conv4"]
    chosen = dataclasses.replace(found, attention=np.eye(4))
    one = [
        expected(program, matrix, dataclasses.replace(found, attention=each[None])).joules_array for each in np.eye(4)
    ]
    even = dataclasses.replace(found, attention=np.full((1, 4), 0.25))
    assert expected(program, matrix, chosen).joules_array == pytest.approx(np.mean(one), rel=1e-9, abs=0.0)
    assert expected(program, matrix, even).joules_array > 1.03 * np.mean(one)


def test_histograms__add_up_and_refuse_nonsense(program, images):
    found = histograms(program, images[:2])
    assert set(found) == {matrix.name for matrix in program.all_matrices}
    for each in found.values():
        assert each.positive.sum(1) == pytest.approx(1.0, rel=1e-12)
    assert found["conv2"].attention.shape == (2, 4)
    with pytest.raises(ParameterError, match="positive must add up to 1 in each row, got 2 to 2"):
        Histogram(np.ones((3, 2)), None, None)
    with pytest.raises(ParameterError, match="at least one image"):
        histograms(program, images[:0])
    with pytest.raises(ParameterError, match="a histogram of conv1"):
        estimate(program, {})
    assert dataclasses.is_dataclass(found["fc"])


def test_price_estimate__is_the_report_of_a_run_within_5_percent(program, images):
    """What shapes decide is the same to the last digit, what inputs decide nearly so, what only a run knows missing."""
    ran, guess = price(run(write(program), images)), price_estimate(program, images)
    assert guess.energy_J_per_image == pytest.approx(ran.energy_J_per_image, rel=0.05)
    for one, two in zip(guess.layers, ran.layers, strict=True):
        assert (one.name, one.kind, one.layout, one.tiles) == (two.name, two.kind, two.layout, two.tiles)
        assert one.energy_J == pytest.approx(two.energy_J, rel=0.05)
        assert one.latency_by_phase_s == two.latency_by_phase_s
        assert one.area_m2 == two.area_m2
        assert np.isnan(one.error)
        if two.attention_entropy is not None:  # that of the exact network
            assert one.attention_entropy == pytest.approx(two.attention_entropy, abs=0.05)
    assert (guess.seed, guess.accuracy_chip, guess.images) == (None, None, len(images))
    cheap = price_estimate(program, images, dataclasses.replace(program.hardware.costs, e_buffer_bit=0.0))
    assert cheap.energy_shares["buffers"] == 0.0
    assert cheap.energy_J_per_image < guess.energy_J_per_image


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["tile.trim_pairs=false"],
        ["spread.verified=false"],
        ["spread.write_error=0.05"],
        ["spread.stuck_on=0.05", "spread.stuck_off=0.1"],
        ["spread.write_error=0", "spread.window_low_ln_sigma=0"],
    ],
)
def test_mean_written__is_what_written_cells_hold_on_the_average(settings):
    hardware = load_hardware("adaptive2d").with_values(["tile.compensate_stuck=false", *settings])
    cell, v_read = hardware.cell, hardware.dac.v_read
    wanted = np.tile(np.linspace(0.02, 0.98, 8) * cell.g_max, (1, 4000, 1))
    wanted[..., 1::2] = cell.g_min  # one side of a pair at its end, as the encoding has it
    rng = np.random.default_rng(5)
    cells = hardware.spread.draw(cell, wanted.shape, rng)
    shown_wanted = terminal_conductances(wanted, hardware)
    once = lambda targets: cells.write(targets, np.random.default_rng(6))  # noqa: E731  (the same luck each time)
    held = written_to(shown_wanted, once, hardware, cells.stuck, np.eye(4000)).g_filament
    found = mean_written(filaments(shown_wanted, cell, v_read), hardware)
    error = held.std(axis=1)[0] / 4000**0.5
    np.testing.assert_array_less(np.abs(held.mean(axis=1)[0] - found[0, 0]), 4.5 * error + 2e-3 * cell.g_max)
