"""Gated tiles in a truncated basis: within their error of the exact family, and exact where they must be."""

import numpy as np
import pytest

from crossbar import Adc, Dac, GainNodes, GateNodes, Wires
from crossbar.tiles.family_basis import truncated
from crossbar.tiles.tile import Tile
from crossbar.tiles.written_arrays import WrittenArray, build_tiles
from devices import AdaptiveMemristor, ReadNoise, Spread

CELL = AdaptiveMemristor()
SILENT = ReadNoise.none()
FINE = 24  # gate nodes of the family that is taken for exact: their error is far below the others


def written(rng, rows, pairs, gates=2, offset=0.05, nodes=12, share=0.05):
    """Random arrays; the converters' range is a share of the largest current of a pair with all rows on."""
    targets = rng.uniform(CELL.g_min, CELL.g_max, (gates, rows, 2 * pairs))
    spread = Spread(gate_offset_line=0.0, gate_offset_cell=offset)
    cells = spread.write(CELL, targets, rng)
    full_scale = share * Dac().v_read * float(targets.sum(1).max())
    return WrittenArray(
        cells.g_filament, cells.gate_offset, GateNodes(CELL, nodes, 4.0 * offset), full_scale, np.zeros(pairs)
    )


def built(array, wires, error, adc=None, r_join=None) -> Tile:
    parts = (wires, Dac(), adc or Adc(), SILENT, 300.0)
    return build_tiles(CELL, [array], *parts, r_join, family_error=error)[0]


def matrices(tile, gains):
    """Matrices (b, m, c) [S] of a tile at gains (b, k)."""
    mix = tile.mix(gains, len(gains))
    return tile._signal(mix, mix).astype(np.float64)


def worst_lsb(tile, exact, rng, count=24):
    """Largest error of one array's current over all codes, at random gains and at the ends of the gate window [LSB]."""
    lsb = tile.adc.lsb(tile.full_scale) / tile.dac.v_read
    low, high = CELL.gain_low, CELL.gain_high
    gains = CELL.gate_gain(rng.uniform(CELL.v_gate_min, CELL.v_gate_max, count)).clip(low, high)
    worst = 0.0
    for k in range(tile.gates):
        parts = [np.zeros((count, tile.gates, each.nodes.count)) for each in (tile, exact)]
        for part, each in zip(parts, (tile, exact), strict=True):
            part[:, k] = each.nodes.mix(gains)
        mine, whole = (
            each._signal(part.reshape(count, -1), part.reshape(count, -1)).astype(np.float64)
            for each, part in zip((tile, exact), parts, strict=True)
        )
        worst = max(worst, float(np.abs(mine - whole).sum(1).max()) / lsb)
    return worst


@pytest.mark.parametrize("error", [0.02, 0.25, 1.0])
@pytest.mark.parametrize(
    ("wires", "offset"),
    [
        (Wires(0.0, 0.0, 0.0, 0.0), 0.05),
        (Wires(1.0, 1.0, 80.0, 15.0), 0.0),
        (Wires(2.8, 2.8, 80.0, 50.0), 0.05),
        (Wires(30.0, 30.0, 1e3, 500.0), 0.05),
        (Wires(2.0, 0.5, 10.0, 10.0, 10.0, 10.0), 0.1),
    ],
)
def test_basis__stays_within_its_error(wires, offset, error, rng):
    """Random arrays, wires that take up to most of the current, Dirac points up to 100 mV apart, whole arrays."""
    for rows, pairs, share in ((1, 1, 1.0), (9, 4, 0.3), (40, 12, 0.05)):
        array = written(rng, rows, pairs, offset=offset, share=share, nodes=FINE)
        exact, tile = (built(array, wires, each) for each in (0.0, error))
        assert worst_lsb(tile, exact, rng) <= error
        assert tile.nodes.count < exact.nodes.count == FINE


def test_basis__keeps_less_than_half_of_the_matrices(rng):
    array, wires = written(rng, 64, 16), Wires(1.0, 1.0, 80.0, 15.0)
    tile, exact = built(array, wires, 0.25), built(array, wires, 0.0)
    assert tile.signal.dtype == np.float32
    assert tile.signal.shape[1] <= exact.signal.shape[1] // 2 == 6
    assert tile.basis.shape == (2, tile.nodes.count, tile.signal.shape[1])
    assert built(array, wires, 0.002).signal.shape[1] > tile.signal.shape[1]


def test_basis__noise_and_energy_are_those_of_the_exact_family(rng):
    """They are interpolated between the nodes of the reduction as before."""
    array, wires = written(rng, 30, 8), Wires(1.0, 1.0, 80.0, 15.0)
    parts = (wires, Dac(), Adc(), ReadNoise(), 300.0)
    tile, exact = (build_tiles(CELL, [array], *parts, family_error=error)[0] for error in (0.25, 0.0))
    np.testing.assert_allclose(tile.variances, exact.variances, rtol=2e-3, atol=1e-6 * exact.variances.max())
    gains = np.full((1, 2), 0.5 * (CELL.gain_low + CELL.gain_high))
    for name in ("to_columns", "to_rows"):
        mine, whole = (
            each.mix(gains, 1) @ getattr(each, name).reshape(-1, tile.rows) for each in (tile, exact)
        )  # fmt: skip
        np.testing.assert_allclose(mine, whole, rtol=1e-3)


def test_basis__is_whole_where_nothing_may_be_lost(rng):
    """Without an accepted error, with continuous converters, at common sense inputs, and at 16 bits."""
    array, wires = written(rng, 12, 4), Wires(1.0, 1.0, 80.0, 15.0)
    whole = built(array, wires, 0.0)
    for tile in (
        whole,
        built(array, wires, 0.25, Adc(bits=None)),
        built(array, wires, 0.25, r_join=3.0),
        built(array, wires, 0.001, Adc(bits=16)),
    ):
        assert tile.basis is None
        assert tile.signal.dtype == np.float64
        assert tile.nodes.count == 12
    np.testing.assert_array_equal(built(array, wires, 0.25, Adc(bits=None)).signal, whole.signal)


def test_basis__arrays_that_need_more_nodes_get_them_alone(rng):
    """Arrays are reduced together at first; what is added for one changes no bit of the others."""
    wires = Wires(2.0, 2.0, 80.0, 15.0)
    several = [written(rng, 20, 6, offset=offset, share=0.02, nodes=20) for offset in (0.0, 0.03, 0.1)]
    parts = (wires, Dac(), Adc(), SILENT, 300.0)
    together = build_tiles(CELL, several, *parts, family_error=0.1)
    assert len({tile.nodes.count for tile in together}) > 1
    for array, tile in zip(several, together, strict=True):
        alone = build_tiles(CELL, [array], *parts, family_error=0.1)[0]
        np.testing.assert_array_equal(tile.signal, alone.signal)
        np.testing.assert_array_equal(tile.basis, alone.basis)
        assert tile.nodes == alone.nodes


def test_basis__an_image_has_the_same_bits_in_any_batch(rng):
    tile = built(written(rng, 30, 8), Wires(1.0, 1.0, 80.0, 15.0), 0.25)
    gains = rng.uniform(CELL.gain_low, CELL.gain_high, (37, 2))
    together = matrices(tile, gains)
    for at in (0, 15, 16, 36):
        np.testing.assert_array_equal(matrices(tile, gains[at : at + 1])[0], together[at])


def test_truncated__of_few_combinations_is_exact(rng):
    """Matrices that are combinations of three are stored as three, whatever the error; others are not shortened."""
    nodes = GainNodes(0.1, 1.0, 9, 1.0)
    three = np.einsum("kqr,krmc->kqmc", rng.normal(size=(2, 9, 3)), rng.random((2, 3, 6, 5)))
    short = truncated(three, nodes, 1e-4)
    assert short is not None
    assert short.stored.shape == (2, 3, 6, 5)
    np.testing.assert_allclose(np.einsum("kqr,krmc->kqmc", short.basis, short.stored), three, rtol=0, atol=1e-5)
    assert truncated(rng.normal(size=(2, 9, 6, 5)), nodes, 1e-3) is None
