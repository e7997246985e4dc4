"""Chips whose gated tiles keep fewer matrices than gate nodes: exact ones on request, the same reads in any batch."""

from dataclasses import replace

import numpy as np
import pytest

from devices.numerics.worker_threads import set_threads, threads
from mapping.chips.chip import Chip
from mapping.hardware.description import Hardware
from mapping.inference.running import run
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write
from tests.small_networks import thorough

SMALL = ("tile.rows=24", "tile.columns=16")


@pytest.fixture(scope="module")
def chips() -> tuple[Chip, Chip, np.ndarray]:
    """A chip with the default error, the same one without, and images."""
    rng = np.random.default_rng(5)
    network = thorough(rng)
    calibration, images = (rng.uniform(size=(n, *network.input_shape)) for n in (24, 6))
    hardware = Hardware().with_values(SMALL)
    program = compile_network(network, hardware, calibration)
    whole = replace(program, hardware=hardware.with_values(["tile.family_error=0"]))
    return write(program, 3), write(whole, 3), images


def test_exact__is_the_chip_without_an_accepted_error(chips):
    short, whole, _ = chips
    assert any(tile.basis is not None for held in short.tiles.values() for tile in held if hasattr(tile, "basis"))
    for name, held in whole.tiles.items():
        for mine, other in zip(short.exact.tiles[name], held, strict=True):
            assert mine.basis is None
            np.testing.assert_array_equal(mine.signal, other.signal)
            np.testing.assert_array_equal(mine.variances, other.variances)
    assert whole.exact.tiles == whole.tiles


def test_double_precision__reads_all_matrices(chips):
    short, whole, images = chips
    same = replace(whole, adjustments=short.adjustments)
    found, wanted = (run(chip, images, precision="double").logits for chip in (short, same))
    np.testing.assert_array_equal(found, wanted)


def test_run__does_not_depend_on_batches_and_threads(chips):
    short, _, images = chips
    at_once, before = run(short, images).logits, threads()
    try:
        set_threads(1)
        np.testing.assert_array_equal(run(short, images, batch=1).logits, at_once)
    finally:
        set_threads(before)


def test_layer_by_layer__gives_the_activations():
    rng = np.random.default_rng(2)
    network = thorough(rng)
    images = rng.uniform(size=(5, *network.input_shape))
    every = network.activations(images)
    names = []
    for layer, values in network.layer_by_layer(images):
        names.append(layer.name)
        for name in (*layer.inputs, layer.name):
            np.testing.assert_array_equal(values[name], every[name])
    assert names == [layer.name for layer in network.layers]
