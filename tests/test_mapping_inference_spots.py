"""Spot checks: currents of a run in single precision against the reference solver of the written arrays."""

import numpy as np
import pytest

import crossbar.tiles.tile
from crossbar import reference_solve
from mapping import compile_network, load_dataset, load_model, write
from mapping.inference.running import _batch

SPOTS = 20


@pytest.fixture(scope="module")
def chip():
    calibration = load_dataset("digits", "train", limit=32)
    return write(compile_network(load_model("dvgg-digits"), "adaptive2d", calibration.images), seed=4)


def test_spots__currents_are_the_twins(chip, monkeypatch):
    """Image, tile and position are drawn; all kernels of a tile are solved one by one at the gates of that image.

    All matrices at all gate nodes are kept; `tile.family_error` has tests of its own. Between nodes families err by
    some 1e-5 of the full scale; single precision adds 1e-6.
    """
    images = load_dataset("digits", "test", limit=6).images
    ready = chip.exact.single()
    names = {id(tile): (name, at) for name, held in ready.tiles.items() for at, tile in enumerate(held)}
    matrices = {matrix.name: matrix for matrix in chip.program.all_matrices}
    reads, current = [], []
    add_read, convert = crossbar.tiles.tile.Tile.add_read, crossbar.tiles.tile.convert

    def watched(tile, drive, gains, *arguments, **others):
        current[:] = [tile, drive.planes[0].driven.copy(), drive.planes[0].unit, gains]
        return add_read(tile, drive, gains, *arguments, **others)

    def seen(currents, *arguments):
        reads.append((*current, currents.copy()))
        convert(currents, *arguments)

    monkeypatch.setattr(crossbar.tiles.tile.Tile, "add_read", watched)
    monkeypatch.setattr(crossbar.tiles.tile, "convert", seen)
    _batch(ready, images, 0, 0, np.dtype(np.float32))
    hardware = chip.program.hardware
    cell, v_read = hardware.cell, hardware.dac.v_read
    rng = np.random.default_rng(7)
    layers = set()
    for spot in rng.choice(len(reads), SPOTS, replace=False):
        tile, driven, unit, gains, currents = reads[spot]
        name, at = names[id(tile)]
        image, position = rng.integers(len(images)), rng.integers(currents.shape[2])
        written = chip.written(matrices[name], at)
        v = (driven[:, image, position].astype(np.float64) * unit * v_read)[None]
        exact = 0.0
        for k, (g, offset) in enumerate(zip(written.g_filament, written.gate_offset, strict=True)):
            gain = cell.gain_high if gains is None else gains[image, k]
            seen_g = cell.terminal_conductance(g, cell.gain_with_offset(cell.gate_voltage(gain), offset), v_read)
            columns = reference_solve(seen_g, v, hardware.wires_in_use).currents[0]
            exact = exact + columns[0::2] - columns[1::2]
        got = currents[image, :, position] * hardware.adc.lsb(tile.full_scale)
        np.testing.assert_allclose(got, exact, rtol=0.0, atol=1e-4 * tile.full_scale)
        layers.add(name)
    assert len(layers) > 5
