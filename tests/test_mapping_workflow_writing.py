"""Output adjustment on a written chip: what it corrects, what it leaves unchanged, and its cost per image."""

import dataclasses

import numpy as np
import pytest

from mapping.chips.chip import write_arrays
from mapping.hardware.description import Hardware
from mapping.inference.layer_run import adjust
from mapping.inference.running import run
from mapping.networks import INPUT, Attention, Conv, DynamicConv, Flatten, GlobalAveragePool, Linear, Network, Relu
from mapping.report.pricing import price
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import LEAST, adjusted, scale_and_shift, write


def network(rng):
    attention = Attention(rng.normal(size=(6, 3)), np.zeros(6), rng.normal(size=(3, 6)), np.zeros(3))
    layers = (
        Conv("first", (INPUT,), rng.normal(size=(3, 1, 3, 3)), rng.normal(size=3)),
        Relu("relu", ("first",)),
        DynamicConv("second", ("relu",), rng.normal(size=(3, 6, 3, 3, 3)), None, (1, 1), (1, 1), (1, 1), 1, attention),
        GlobalAveragePool("pool", ("second",)),
        Flatten("flat", ("pool",)),
        Linear("fc", ("flat",), rng.normal(size=(3, 6)), np.zeros(3)),
    )
    return Network("small", (1, 8, 8), ("a", "b", "c"), layers)


@pytest.fixture(scope="module")
def written():
    """A chip with large deviations: as its arrays are, and adjusted."""
    rng = np.random.default_rng(3)
    hardware = Hardware().with_values(
        ["tile.rows=16", "tile.columns=16", "spread.write_error=0.05", "spread.stuck_off=0.03", "adc.offset=2.0"]
    )
    program = compile_network(network(rng), hardware, rng.random((64, 1, 8, 8)))
    bare = write_arrays(program, 2)
    return bare, adjusted(bare), rng.random((96, 1, 8, 8))


def test_scale_and_shift__restores_mean_and_deviation(rng):
    wanted = rng.normal(size=(8, 4, 5, 5)) * np.arange(1, 5)[:, None, None]
    found = 3.0 * wanted - 2.0
    scale, shift = scale_and_shift(found, wanted)
    np.testing.assert_allclose(scale, 1 / 3, rtol=1e-12)
    np.testing.assert_allclose(adjust(found, (scale, shift)), wanted, atol=1e-12)
    noisy = found + rng.normal(size=found.shape)
    after = adjust(noisy, scale_and_shift(noisy, wanted))
    np.testing.assert_allclose(after.mean((0, 2, 3)), wanted.mean((0, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(after.std((0, 2, 3)), wanted.std((0, 2, 3)), rtol=1e-12)


def test_scale_and_shift__of_an_output_that_never_changes_is_a_shift(rng):
    found, wanted = np.full((40, 2), 7.0), rng.normal(size=(40, 2))
    scale, shift = scale_and_shift(found, wanted)
    np.testing.assert_array_equal(scale, 1.0)
    np.testing.assert_allclose(shift, wanted.mean(0) - 7.0)


def test_scale_and_shift__of_few_values_is_nothing(rng):
    found = rng.normal(size=(LEAST - 1, 2))
    scale, shift = scale_and_shift(found, 2.0 * found)
    np.testing.assert_array_equal(scale, 1.0)
    np.testing.assert_array_equal(shift, 0.0)


def test_adjusted__errors_of_every_layer_are_smaller_on_other_images(written):
    bare, better, images = written
    before, after = (run(chip, images, seed=1) for chip in (bare, better))
    for one, two in zip(before.layers, after.layers, strict=True):
        if one.name in ("first", "second", "fc"):
            assert two.error < 0.8 * one.error
    exact = better.program.folded.activations(images)["second.attention"]
    deviation = [np.abs(result.layers[2].attention - exact).mean() for result in (before, after)]
    assert deviation[1] < deviation[0]


def test_adjusted__names_every_output_of_arrays_and_its_attention(written):
    better = written[1]
    sizes = {name: len(scale) for name, (scale, _) in better.adjustments.items()}
    assert sizes == {"first": 3, "second": 6, "second.attention1": 6, "second.attention2": 3, "fc": 3}


def test_adjusted__is_the_same_again_and_costs_nothing(written):
    bare, better, images = written
    again = adjusted(better)
    for name, held in better.adjustments.items():
        np.testing.assert_array_equal(again.adjustments[name], held)
    energies = [price(run(chip, images[:4])).energy_J_per_image for chip in (bare, better)]
    assert energies[0] == pytest.approx(energies[1], rel=0.05)  # gates and inputs of later layers move a little


def test_write__adjusts_unless_told_otherwise(written):
    bare = written[0]
    hardware = bare.program.hardware
    off = dataclasses.replace(hardware, tile=dataclasses.replace(hardware.tile, adjust_outputs=False))
    assert write(dataclasses.replace(bare.program, hardware=off), 2).adjustments == {}
    assert set(write(bare.program, 2).adjustments) == set(written[1].adjustments)
    assert not hardware.idealised().tile.adjust_outputs


def test_write__adjustments_do_not_depend_on_threads(written):
    from devices.numerics.worker_threads import set_threads, threads

    before = threads()
    try:
        set_threads(1)
        alone = adjusted(written[0])
    finally:
        set_threads(before)
    for name, held in written[1].adjustments.items():
        np.testing.assert_array_equal(alone.adjustments[name], held)
