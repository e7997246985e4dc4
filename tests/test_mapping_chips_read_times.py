"""Read disturb of a chip: times of rows and gates against reads one by one, polarity, adjustment, temperature."""

from dataclasses import replace

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping.chips.chip import write_arrays
from mapping.chips.read_times import of_tile, stress_of_reads
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.hardware.retention import Retention
from mapping.inference.running import run
from mapping.placement.matrix import Matrix
from mapping.placement.program import Program
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import new, write
from tests.small_networks import joined

PASSES = 3
T_SLOT = Hardware().dac.t_slot


#: reads that a few hundred thousand images make felt: 0.1 V, gates up to 4 V, no refresh
CHIP = load_hardware("adaptive2d").with_values(["dac.v_read=0.1", "cell.v_gate_max=4", "retention.refresh_change=0"])


@pytest.fixture(scope="module")
def network():
    return joined(np.random.default_rng(4))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).random((4, 2, 6, 5))


@pytest.fixture(scope="module")
def program(network, images):
    return compile_network(network, CHIP, images)


def on(program: Program, *settings: str) -> Program:
    """The program on a chip description with other retention or drivers, which compiling does not look at."""
    return replace(program, hardware=program.hardware.with_values(settings))


def reads(program: Program, matrix: Matrix):
    """Codes (b, p, r) of both signs, and gate voltages (b, k), from the exact network: without read_times."""
    layer = next(each for each in program.folded.layers if each.name == matrix.name)
    values = program.folded.activations(program.calibration)
    rows = layer.rows([values[name] for name in layer.inputs], matrix.group) / matrix.x_scale
    codes = [np.rint(np.clip(sign * rows, 0.0, 1.0) * 255) for sign in ((1, -1) if matrix.signed else (1,))]
    hardware = program.hardware
    if not matrix.gated:
        return codes, np.full((len(rows), matrix.kernels), hardware.cell.v_gate_max)
    gains = hardware.gate_dac.gains(values[f"{matrix.name}.attention"], hardware.cell)
    return codes, hardware.cell.gate_voltage(gains)


@pytest.mark.parametrize("name", ["mixed", "side", "fc"])
def test_disturbed_chip__is_that_of_reads_one_by_one(program, name):
    """The slow twin: every row pulse of every position of every image, integrated by the cell itself."""
    stressed = on(program, "dac.t_slot=2e-4", f"retention.images={PASSES * len(program.calibration)}")
    if name == "fc":  # one position
        stressed = on(stressed, "dac.t_slot=3e-3")
    matrix = stressed.matrices[name][0]
    fresh, found = (write_arrays(each).written(matrix, 0) for each in (new(stressed), stressed))
    cell = stressed.hardware.cell
    w = cell.state(fresh.g_filament)
    rest = fresh.g_filament / cell.filament(w)
    codes, volts = reads(stressed, matrix)
    for _ in range(PASSES):
        for b in range(len(volts)):
            gate = volts[b][:, None, None] - fresh.gate_offset
            for signed in codes:
                for row in signed[b][:, matrix.tiles[0].rows]:
                    w = cell.evolve(w, 0.1, gate, (row * stressed.hardware.dac.t_slot)[:, None])
    moved = np.abs(cell.state(found.g_filament) - cell.state(fresh.g_filament))
    stuck = (fresh.g_filament == found.g_filament) & (moved == 0.0)
    assert moved.max() > 0.2
    np.testing.assert_allclose(
        cell.state(found.g_filament / rest)[~stuck], w[~stuck], atol=0.03 * moved.max()
    )  # of first order in the motion of one image


def test_stress__times_are_those_of_the_codes(program):
    stress = stress_of_reads(program)
    for matrix in program.all_matrices:
        if matrix.name not in ("conv", "mixed", "side"):
            continue
        codes, _ = reads(program, matrix)
        seconds = sum(each.sum((0, 1)) for each in codes) * T_SLOT / len(program.calibration)
        for k in range(matrix.kernels):
            np.testing.assert_allclose(stress[matrix.name].seconds[k, :, 0].sum(-1), seconds, rtol=1e-12)
    assert set(stress) == {matrix.name for matrix in program.all_matrices}


def test_stress__keeps_the_mean_factor_of_the_gate(program):
    matrix, hardware = program.matrices["mixed"][0], program.hardware
    codes, volts = reads(program, matrix)
    stress = stress_of_reads(program)["mixed"]

    def factor(v_gate):
        return np.exp(0.5 * np.asarray(hardware.cell.fermi_energy(v_gate)) / (8.617333262e-5 * 300.0))

    times = sum(each.sum(1) for each in codes) * T_SLOT  # (b, r)
    wanted = np.einsum("br,bk->kr", times, factor(volts)) / len(times)
    np.testing.assert_allclose(stress.seconds[:, :, 0] @ factor(stress.v_gate), wanted, rtol=1e-9)


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_stress__of_every_coding(network, images, coding):
    """Pulses by width or bit are at the read voltage; amplitudes keep the time and the mean voltage."""
    program = compile_network(network, CHIP.with_values([f"dac.coding={coding}"]), images)
    matrix = program.matrices["conv"][0]
    codes, _ = reads(program, matrix)
    stress = stress_of_reads(program)["conv"]
    seconds = stress.seconds[0, :, 0]
    whole = sum(each.sum((0, 1)) for each in codes) / len(images) * T_SLOT
    if coding == "pulse-width":
        np.testing.assert_allclose(seconds.sum(-1), whole, rtol=1e-12)
    elif coding == "bit-serial":
        bits = sum(np.unpackbits(each.astype(np.uint8)[..., None], axis=-1).sum((0, 1, 3)) for each in codes)
        np.testing.assert_allclose(seconds.sum(-1), bits / len(images) * T_SLOT, rtol=1e-12)
    else:
        np.testing.assert_allclose(seconds @ stress.v, whole / 255 * 0.1, rtol=1e-9)
    assert np.all(stress.v > 0.0)
    assert stress.v.max() == pytest.approx(0.1)


def test_stress__polarity_divides_the_reads(program):
    one = stress_of_reads(program)["fc"]
    other = stress_of_reads(on(program, "dac.polarity=negative"))["fc"]
    both = stress_of_reads(on(program, "dac.polarity=alternating"))["fc"]
    np.testing.assert_array_equal(other.v, -one.v)
    np.testing.assert_array_equal(other.seconds, one.seconds)
    np.testing.assert_array_equal(both.v, [0.1, -0.1])
    np.testing.assert_allclose(both.seconds, np.repeat(one.seconds / 2.0, 2, axis=-1), rtol=1e-15)


def test_stress__copies_divide_the_positions(network, images, program):
    twice = compile_network(network, CHIP.with_values(["mapping.copies.mixed=2"]), images)
    one, two = (stress_of_reads(each)["mixed"] for each in (program, twice))
    np.testing.assert_allclose(two.seconds, one.seconds / 2.0, rtol=1e-12)


def test_stress__of_gated_columns_is_that_of_each_column(images):
    from tests.test_mapping_placement_channels import omni

    network = omni(np.random.default_rng(3))
    chip = CHIP.with_values(["mapping.channel_attention=gates", "tile.columns=6"])
    program = compile_network(network, chip, images)
    matrix = program.matrices["mixed"][0]
    assert matrix.column_gates
    stress = stress_of_reads(program)["mixed"]
    assert stress.seconds.shape[:3] == (matrix.kernels, matrix.rows, 2 * matrix.outputs)
    times = stress.seconds.sum(-1)
    np.testing.assert_allclose(times, np.broadcast_to(times[:1, :, :1], times.shape), rtol=1e-12)
    np.testing.assert_array_equal(stress.seconds[:, :, 0], stress.seconds[:, :, 1])  # a pair has one gate
    part = of_tile(stress, matrix.tiles[1])
    assert part.seconds.shape[2] == 2 * matrix.tiles[1].shape[1]
    chip = write_arrays(on(program, "retention.images=1e5"))
    assert chip.written(matrix, 0).g_filament.shape == (matrix.kernels, *np.multiply(matrix.tiles[0].shape, (1, 2)))


# on a chip


def test_chip__of_no_images_is_the_chip(program):
    new_one, read_never = write_arrays(program), write_arrays(on(program, "dac.polarity=alternating"))
    for name, tiles in new_one.tiles.items():
        for one, other in zip(tiles, read_never.tiles[name], strict=True):
            np.testing.assert_array_equal(one.signal, other.signal)


def test_run__errs_more_after_more_images(program, images):
    errors = [
        run(write(on(program, f"retention.images={count}")), images, seed=1).layers[-1].error
        for count in ("0.0", "2e4", "2e5", "2e6", "2e7")
    ]
    assert errors[1] < 1.5 * errors[0]
    assert errors[2] < errors[3] < errors[4]
    assert errors[4] > 3.0 * errors[0]


def test_images__are_those_of_a_rate_and_an_age():
    assert Retention(images=5.0).since_writing == (0.0, 5.0)
    assert Retention(age=100.0, images=5.0, rate=2.0).since_writing == (100.0, 205.0)
    assert Retention(age=100.0, rate=2.0, refresh_images=50.0).since_writing == (25.0, 50.0)
    assert Retention(age=100.0, rate=2.0, refresh_time=10.0).since_writing == (10.0, 20.0)
    assert Retention(age=100.0, rate=2.0, refresh_time=1000.0, refresh_images=1e6).since_writing == (100.0, 200.0)


def test_refresh__is_the_chip_after_one_period(program):
    one = write_arrays(on(program, "retention.images=3e5"))
    other = write_arrays(on(program, "retention.images=1e9", "retention.refresh_images=3e5"))
    matrix = program.matrices["mixed"][0]
    np.testing.assert_allclose(one.written(matrix, 0).g_filament, other.written(matrix, 0).g_filament, rtol=1e-12)


def test_adjusted__new_is_the_adjustment_of_the_new_chip(program):
    aged = on(program, "retention.images=3e5")
    fresh, promised = write(program, 1), write(aged, 1)
    again = write(on(aged, "retention.adjusted=aged"), 1)
    for name, (scale, shift) in fresh.adjustments.items():
        np.testing.assert_array_equal(promised.adjustments[name][0], scale)
        np.testing.assert_array_equal(promised.adjustments[name][1], shift)
    assert any(np.any(again.adjustments[name][0] != scale) for name, (scale, _) in fresh.adjustments.items())
    np.testing.assert_array_equal(promised.tiles["conv"][0].signal, again.tiles["conv"][0].signal)


def test_adjusted__again_repairs_what_ageing_scaled(program, images):
    old = on(program, "retention.age=2e7", "retention.relaxation=false")
    errors = [
        run(write(on(old, f"retention.adjusted={when}"), 1), images, seed=1).layers[-1].error
        for when in ("new", "aged")
    ]
    assert errors[1] < errors[0]


# temperature


def test_run_temperature__gates_wires_and_noise_are_those_of_the_run(program):
    chip = on(program, "retention.run_temperature=360").hardware
    assert chip.temperature == 300.0
    assert chip.run_temperature == 360.0
    assert chip.cell_in_run == replace(chip.cell, temperature=360.0)
    assert chip.wires_in_run.r_row == pytest.approx(1.06 * (1.0 + 4.5e-3 * 60.0))
    assert chip.wires_in_use == program.hardware.wires_in_use
    assert program.hardware.cell_in_run is program.hardware.cell
    two = load_hardware("two_terminal").with_values(["retention.run_temperature=360"])
    assert two.cell_in_run.temperature == 360.0


def test_run_temperature__gate_voltages_are_those_of_the_compiled_chip(program, images):
    """At the voltage of a nominal gain, the warm cell has the gain of its own law."""
    from mapping.placement.gating import gains_in_run

    warm = on(program, "retention.run_temperature=360").hardware
    nominal = warm.gate_dac.gains(np.array([0.0, 0.1, 0.5, 1.0]), warm.cell)
    volts = warm.cell.gate_voltage(nominal)
    np.testing.assert_allclose(gains_in_run(nominal, warm), warm.cell_in_run.gate_gain(volts), rtol=1e-9)
    assert np.abs(gains_in_run(nominal, warm) - nominal).max() > 0.02
    assert gains_in_run(nominal, program.hardware) is nominal
    cold, hot = (
        run(write(on(program, f"retention.run_temperature={t}")), images, seed=1).layers for t in ("0.0", "400")
    )
    assert hot[2].own_error > cold[2].own_error


def test_run_temperature__of_the_compiled_chip_changes_nothing(network, images):
    base = CHIP.with_values(["cell.temperature=340.0"])
    same = base.with_values(["retention.run_temperature=340"])
    one, other = (write_arrays(compile_network(network, each, images)) for each in (base, same))
    np.testing.assert_array_equal(one.tiles["conv"][0].signal, other.tiles["conv"][0].signal)


def test_temperature__ages_faster(program):
    matrix = program.matrices["mixed"][0]
    left = [
        write_arrays(on(program, "retention.age=1e6", "retention.relaxation=false", f"retention.temperature={t}"))
        .written(matrix, 0)
        .g_filament.sum()
        for t in ("0.0", "300", "330", "360")
    ]
    assert left[0] == left[1] > left[2] > left[3]


@pytest.mark.parametrize(
    "bad",
    [
        "retention.images=-1.0", "retention.rate=-1.0", "retention.adjusted=never", "retention.refresh_images=-2.0",
        "retention.run_temperature=1e5", "retention.temperature=-3.0", "dac.polarity=both", "retention.images=1e30",
        "cell.e_dissolution=-1.0",
    ],
)  # fmt: skip
def test_keys__refuse(bad):
    with pytest.raises(ParameterError, match=bad.split("=")[0].split(".")[1]):
        Hardware().with_values([bad])


def test_idealised__is_not_disturbed():
    worn = Hardware().with_values(["retention.images=1e6", "retention.run_temperature=350"])
    assert worn.idealised().retention == Retention()
