"""Fidelity of sampled reads: the currents of a run, laws of the levels, and layers without cells."""

import dataclasses

import numpy as np
import pytest

from crossbar.tiles.converters import CODINGS, Dac
from devices.errors import ParameterError
from mapping.hardware.description_files import load_hardware
from mapping.inference.fidelity import by_layer, sample
from mapping.inference.running import run
from mapping.networks import INPUT, Attention, Conv, DynamicConv, Flatten, GlobalAveragePool, Linear, Network
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

K, IMAGES = 3, 5


def network(rng):
    attention = Attention(rng.normal(size=(4, 2)), np.zeros(4), 3.0 * rng.normal(size=(K, 4)), np.zeros(K))
    layers = (
        Conv("first", (INPUT,), rng.normal(size=(2, 1, 3, 3))),
        DynamicConv("second", ("first",), rng.normal(size=(K, 6, 2, 3, 3)), None, (1, 1), (1, 1), (1, 1), 1, attention),
        GlobalAveragePool("pool", ("second",)),
        Flatten("flat", ("pool",)),
        Linear("fc", ("flat",), rng.normal(size=(3, 6)), np.zeros(3)),
    )
    return Network("small", (1, 8, 8), ("a", "b", "c"), layers)


def ran(rng, *settings, precision="double", chip="adaptive2d"):
    hardware = load_hardware(chip).with_values(["tile.rows=12", "tile.columns=8", "tile.gate_nodes=24", *settings])
    images = rng.random((IMAGES, 1, 8, 8))
    return run(write(compile_network(network(rng), hardware, images), 1), images, seed=2, precision=precision), images


@pytest.mark.parametrize("layout", ["parallel", "stacked", "digital"])
def test_sample__of_a_run_of_double_precision_is_the_twins(layout, rng):
    result, images = ran(rng, f"mapping.layout={layout}")
    found = sample(result, images, each=4, precision="double")
    names = {one.matrix for one in found}
    assert names == {matrix.name for matrix in result.chip.program.all_matrices}
    for one in found:
        np.testing.assert_allclose(one.run, one.linear, rtol=0, atol=2e-7 * one.full_scale)


@pytest.mark.parametrize(
    "settings",
    [
        ["dac.gain_error=0.1"], ["dac.gain_error=0.1", "mapping.layout=stacked"],
        ["dac.gain_error=0.1", "tile.encoding=offset"], ["tile.slices=2", "tile.levels=4"],
    ],
)  # fmt: skip
def test_sample__of_row_drivers_that_err_and_of_other_encodings_is_the_twins(settings, rng):
    """The circuit of the written cells, with the voltages of its own drivers, against the tile of the run."""
    result, images = ran(rng, *settings)
    for one in sample(result, images, each=3, precision="double"):
        np.testing.assert_allclose(one.run, one.linear, rtol=0, atol=4e-7 * one.full_scale)


def test_sample__of_a_run_of_single_precision_is_within_1e_minus_4_of_full_scale(rng):
    result, images = ran(rng, "wires.r_row=2.8", "wires.r_column=2.8", "tile.family_error=0", precision="single")
    found = sample(result, images, each=4)
    assert 0.0 < max(each.arithmetic for each in by_layer(found)) < 1e-4
    assert len({(one.image, one.tile, one.position) for one in found}) > len(found) / 2


def test_sample__of_a_run_of_single_precision_has_the_error_that_the_chip_accepts(rng):
    """Each of three kernels may be off by tile.family_error; single precision adds 1e-4 of full scale at most."""
    result, images = ran(rng, "wires.r_row=2.8", "wires.r_column=2.8", "tile.family_error=0.5", precision="single")
    lsb = result.chip.program.hardware.adc.lsb(1.0)
    (kernels,) = {m.kernels for m in result.chip.program.all_matrices if m.kernels > 1}
    for one in sample(result, images, each=4):
        off = np.abs(one.run - one.linear).max() / one.full_scale
        assert off < 1e-4 + kernels * 0.5 * lsb


def test_sample__sees_what_the_run_multiplied(rng):
    """Without wires, noise or spread a read's current is the code times the weight that was compiled."""
    result, images = ran(rng, chip="ideal")
    for one in sample(result, images, each=4, precision="double"):
        np.testing.assert_allclose(one.run, one.wireless, rtol=0, atol=1e-9 * np.abs(one.wireless).max())
        np.testing.assert_allclose(one.linear, one.wireless, rtol=0, atol=1e-9 * np.abs(one.wireless).max())


@pytest.mark.parametrize("coding", CODINGS)
def test_levels__bent_laws_matter_more_at_a_higher_read_voltage(coding, rng):
    """Pulses of full height meet the law where it was taken; amplitudes below do not: sinh(x) is below its chord."""
    worst = {}
    for v_read in (0.1, 0.2):
        result, images = ran(rng, f"dac.v_read={v_read}", f"dac.coding={coding}")
        worst[v_read] = max(each.nonlinear for each in by_layer(sample(result, images)))
    assert worst[0.2] > 2.0 * worst[0.1]
    limits = (1e-3, 0.2) if coding == "amplitude" else (1e-7, 5e-3)
    assert limits[0] < worst[0.1] < limits[1]


@pytest.mark.parametrize("coding", CODINGS)
def test_instants__weigh_up_to_the_shares(coding, rng):
    dac = Dac(coding=coding)
    codes = rng.integers(0, 256, 20).astype(float)
    weights, patterns = dac.instants(codes)
    np.testing.assert_allclose(weights @ patterns, codes / 255, atol=1e-12)
    assert patterns.min() >= 0.0
    assert patterns.max() <= 1.0
    if coding != "amplitude":
        assert set(np.unique(patterns)) <= {0.0, 1.0}


def test_instants__of_rows_at_rest():
    weights, patterns = Dac().instants(np.zeros(4))
    assert weights.shape == (0,)
    assert patterns.shape == (0, 4)


def test_sample__leaves_out_kernels_that_are_rewritten(rng):
    result, images = ran(rng, "mapping.layout=reprogram")
    assert {one.layer for one in sample(result, images)} == {"first", "second.attention", "fc"}


def test_sample__refuses_other_images(rng):
    result, images = ran(rng)
    with pytest.raises(ParameterError, match="images"):
        sample(result, images[:-1])
    with pytest.raises(ParameterError, match="each"):
        sample(result, images, each=0)


def test_levels__are_root_mean_squares_by_hand(rng):
    result, images = ran(rng)
    one = sample(result, images)[0]
    made = dataclasses.replace(
        one, run=np.array([1.0, 2.0]), linear=np.array([1.0, 1.0]), wireless=np.array([1.0, 3.0]),
        nonlinear=np.array([1.5, 1.0]), full_scale=4.0,
    )  # fmt: skip
    (level,) = by_layer([made])
    assert (level.samples, level.arithmetic) == (1, 0.25)
    assert level.wires == pytest.approx(2**0.5)
    assert level.nonlinear == pytest.approx(0.125**0.5)
