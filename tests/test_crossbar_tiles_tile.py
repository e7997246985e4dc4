"""Tiles against the reference solver: currents, noise, energy and counts."""

import dataclasses
import itertools
from dataclasses import replace
from functools import partial

import numba
import numpy as np
import pytest

from crossbar import Activity, Adc, Dac, GateDac, GateNodes, Tile, Wires, reference_solve
from crossbar.nodal.sensitivities import sensitivity
from crossbar.tiles.converters import BINS, CODINGS
from crossbar.tiles.row_drive import LOOKED_AT, drive_rows
from crossbar.tiles.written_arrays import WrittenArray, build_tiles, terminal_conductances
from devices import AdaptiveMemristor, ReadNoise, Resistor, Spread
from devices.errors import ParameterError
from devices.numerics import worker_threads
from devices.numerics.random_streams import stream_keys

approx = partial(pytest.approx, abs=0.0)  # its own 1e-12 would let any energy pass
CELL = AdaptiveMemristor()
WIRES = Wires(1.0, 2.0, 80.0, 15.0)
IDEAL = Wires(0.0, 0.0, 0.0, 0.0)
SILENT = ReadNoise.none()
M, C = 11, 4  # rows and pairs of the small tiles below


def array(rng, gates=1, nodes=None, rows=M, pairs=C, spread=None, full_scale=2e-6, offsets=None):
    """A written array: targets over the whole window, with the default spread between cells."""
    targets = rng.uniform(CELL.g_min, CELL.g_max, (gates, rows, 2 * pairs))
    written = (Spread() if spread is None else spread).write(CELL, targets, rng)
    return WrittenArray(
        written.g_filament, written.gate_offset, nodes, full_scale, np.zeros(pairs) if offsets is None else offsets
    )


def tile_of(written, wires=WIRES, dac=None, adc=None, noise=SILENT, temperature=300.0) -> Tile:
    return build_tiles(
        CELL, [written], wires, dac or Dac(), Adc(bits=None) if adc is None else adc, noise, temperature
    )[0]  # fmt: skip


def seen(written, gain, v_read, gate=0):
    """Conductances (m, 2c) of the cells of one gate group at a gain, for the reference solver."""
    shifted = CELL.gain_with_offset(CELL.gate_voltage(gain), written.gate_offset[gate])
    return CELL.terminal_conductance(written.g_filament[gate], shifted, v_read)


def pair_currents(conductances, v, wires=WIRES):
    currents = reference_solve(conductances, v, wires).currents
    return currents[:, 0::2] - currents[:, 1::2]


def random_codes(rng, dac, b, p, rows=M):
    return rng.integers(0, int(dac.full_code) + 1, (b, p, rows)).astype(float)


def keys(b, seed=1):
    return stream_keys(seed, ("tile",), np.arange(b))


# ---- currents ----


@pytest.mark.parametrize("gates", [1, 3])
def test_currents__at_the_nodes_are_the_twins(rng, gates):
    """Every gate group at every node, added at the sense nodes."""
    nodes = GateNodes(CELL, 6)
    written = array(rng, gates, nodes)
    tile = tile_of(written)
    share = rng.uniform(0.0, 1.0, (6, 2, M))
    gains = np.stack([np.roll(nodes.gains, 2 * k) for k in range(gates)], axis=1)  # (6, gates)
    got = tile.currents(share, tile.mix(gains, 6))
    exact = np.array([
        sum(pair_currents(seen(written, gains[b, k], 0.1, k), 0.1 * share[b]) for k in range(gates)) for b in range(6)
    ])  # fmt: skip
    np.testing.assert_allclose(got, exact, rtol=0.0, atol=1e-9 * np.abs(exact).max())


def test_currents__between_nodes_to_1e5_of_full_scale(rng):
    """Cells with 50 mV of their own and 20 mV per gate line on their Dirac points, 14 nodes."""
    written = array(rng, 1, GateNodes(CELL, 14, reach=0.22), rows=40, pairs=8)
    tile = tile_of(written)
    voltages = np.array([-1.3, -0.4, -0.05, 0.11, 0.3, 0.7, 1.9, 3.3])
    share = rng.uniform(0.0, 1.0, (len(voltages), 3, 40))
    gains = CELL.gate_gain(voltages)
    got = tile.currents(share, tile.mix(gains[:, None], len(voltages)))
    exact = np.array([pair_currents(seen(written, gain, 0.1), 0.1 * x) for gain, x in zip(gains, share, strict=True)])
    full = 0.1 * seen(written, CELL.gain_high, 0.1).sum(0).max()
    assert np.abs(got - exact).max() < 1e-5 * full


def test_currents__a_held_gate_is_open(rng):
    written = array(rng)
    tile = tile_of(written)
    share = rng.uniform(0.0, 1.0, (2, 3, M))
    got = tile.currents(share, tile.mix(None, 2))
    exact = np.array([pair_currents(seen(written, CELL.gain_high, 0.1), 0.1 * x) for x in share])
    np.testing.assert_allclose(got, exact, rtol=0.0, atol=1e-9 * np.abs(exact).max())


def test_currents__cells_without_a_gate(rng):
    cell = Resistor()
    g = rng.uniform(cell.g_min, cell.g_max, (1, M, 2 * C))
    written = WrittenArray(g, np.zeros_like(g), None, 1e-6, np.zeros(C))
    tile = build_tiles(cell, [written], WIRES, Dac(), Adc(bits=None), SILENT, 300.0)[0]
    share = rng.uniform(0.0, 1.0, (1, 3, M))
    exact = pair_currents(g[0], 0.1 * share[0])
    np.testing.assert_allclose(tile.currents(share, tile.mix(None, 1))[0], exact, rtol=1e-9, atol=1e-18)


def test_build__together_is_one_by_one(rng):
    """Arrays of two shapes in one call."""
    several = [array(rng, 2, GateNodes(CELL, 4)), array(rng, 1), array(rng, 2, GateNodes(CELL, 4)), array(rng, rows=5)]
    together = build_tiles(CELL, several, WIRES, Dac(), Adc(), ReadNoise(), 300.0)
    for written, tile in zip(several, together, strict=True):
        alone = tile_of(written, noise=ReadNoise())
        for name in ("signal", "to_columns", "to_rows", "variances"):
            np.testing.assert_array_equal(getattr(tile, name), getattr(alone, name))
        assert (tile.gates, tile.rows, tile.pairs) == alone.signal.shape[0:1] + alone.signal.shape[2:]


# ---- reads without noise ----


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_read__every_coding_gives_the_same_currents(rng, coding):
    dac = Dac(bits=5, coding=coding)
    tile = tile_of(array(rng), dac=dac)
    codes = random_codes(rng, dac, 3, 4)
    got, _ = tile.read(codes, None, keys(3), noise=False)
    np.testing.assert_allclose(
        got, tile.currents(codes / 31.0, tile.mix(None, 3)), rtol=0.0, atol=1e-13 * np.abs(got).max()
    )


def test_read__codes_are_rounded_currents(rng):
    offsets = rng.normal(0.0, 0.25, C)
    written = array(rng, full_scale=6e-6, offsets=offsets)
    dac = Dac(bits=4)
    tile = tile_of(written, dac=dac, adc=Adc(bits=6))
    codes = random_codes(rng, dac, 2, 30)
    got, _ = tile.read(codes, None, keys(2), noise=False)
    lsb = 6e-6 / 31
    exact = tile.currents(codes / 15.0, tile.mix(None, 2)) / lsb + offsets
    np.testing.assert_array_equal(got, np.clip(np.rint(exact), -31, 31))
    assert np.abs(got).max() == 31.0  # some saturate
    assert np.abs(got).min() < 31.0


def test_read__bit_serial_converts_every_bit(rng):
    dac = Dac(bits=3, coding="bit-serial")
    tile = tile_of(array(rng, full_scale=8e-6), dac=dac, adc=Adc(bits=7))
    codes = random_codes(rng, dac, 1, 20)
    got, done = tile.read(codes, None, keys(1), noise=False)
    lsb, mix = 8e-6 / 63, tile.mix(None, 1)
    planes = [
        np.clip(np.rint(tile.currents((codes.astype(int) >> bit & 1).astype(float), mix) / lsb), -63, 63)
        for bit in range(3)
    ]
    np.testing.assert_allclose(got, (planes[0] + 2 * planes[1] + 4 * planes[2]) / 7.0, rtol=1e-14)
    assert done.conversions == 20 * 3 * C


# ---- noise ----


def many_reads(tile, codes, count, gains=None):
    """Variance (c,) of the converted currents over `count` reads of one input."""
    out, _ = tile.read(np.broadcast_to(codes, (1, count, len(codes))), gains, keys(1, 7), noise=True)
    return out[0].var(0, ddof=1), out[0]


def of_cells(noise, g, v, t_read, temperature=300.0):
    """Variance (c,) of pair currents as the sum over the cells of both columns of each pair."""
    cells = noise.cell_variance(g, v[:, None], t_read, temperature).sum(0)
    return cells[0::2] + cells[1::2]


READS = 20_000  # the variance of so many is known to 1 %; 4.5 standard errors are let through
SAMPLING = 4.5 * (2.0 / READS) ** 0.5


@pytest.mark.parametrize(
    "noise", [ReadNoise(), ReadNoise(flicker=False), ReadNoise(thermal_shot=False)], ids=["both", "white", "flicker"]
)
@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_noise__variance_is_the_cells_sum(rng, coding, noise):
    dac = Dac(bits=4, coding=coding, v_read=0.15)
    written = array(rng)
    tile = tile_of(written, IDEAL, dac=dac, noise=noise, temperature=330.0)
    codes = np.array([0, 15, 7, 3, 15, 0, 1, 8, 12, 15, 5], dtype=float)
    g = seen(written, CELL.gain_high, dac.v_read)
    share = codes / 15.0
    if coding == "amplitude":
        expected = of_cells(noise, g, 0.15 * share, dac.t_read, 330.0)
    elif coding == "bit-serial":  # each bit's read has its own noise; the results add with the bits' values
        bits = [(codes.astype(int) >> bit) & 1 for bit in range(4)]
        expected = sum(
            (2.0**k / 15.0) ** 2 * of_cells(noise, g, 0.15 * on, dac.t_read, 330.0) for k, on in enumerate(bits)
        )
    else:  # white noise of the driven part and of the part at rest; 1/f noise of the mean current
        white = ReadNoise(thermal_shot=noise.thermal_shot, flicker=False)
        driven, rest = (
            white.cell_variance(g, v, dac.t_read, 330.0) for v in (dac.v_read, 0.0)
        )  # fmt: skip
        cells = share[:, None] * driven + (1.0 - share[:, None]) * rest
        cells = cells + noise.flicker_squared(g, dac.t_read) * (0.15 * share[:, None]) ** 2
        expected = cells.sum(0)[0::2] + cells.sum(0)[1::2]
    got, reads = many_reads(tile, codes, READS)
    np.testing.assert_allclose(got, expected, rtol=SAMPLING)
    mean = tile.currents(share[None, None], tile.mix(None, 1))[0, 0]
    assert np.all(np.abs(reads.mean(0) - mean) < 4.5 * np.sqrt(expected / READS))


@pytest.mark.parametrize("r", [1.0, 2.8])
@pytest.mark.parametrize(("driven", "within"), [(1.0, 0.01), (0.5, 0.09)])
def test_noise__behind_wires_is_what_the_adjoint_circuits_say(rng, r, driven, within):
    """Wires take from the cells' voltages and from what reaches the sense end: σ to 1 % with all rows driven.

    With half of them, cells drop less than a full array's, and σ is up to 9 % low where all cells are strong.
    """
    wires, dac = Wires(r, r, r, r), Dac()
    written = array(rng, rows=96, pairs=24)
    tile = tile_of(written, wires, dac, noise=ReadNoise())
    share = (np.arange(96) % 10 < 10 * driven).astype(float)
    got = (
        dac.white(share, ReadNoise(), 300.0) @ tile.variances[0, 0, :96]
        + (share * dac.v_read) ** 2 @ tile.variances[0, 0, 96:]
    )
    g = seen(written, CELL.gain_high, dac.v_read)
    exact = sensitivity(g, dac.v_read * share[None], wires)
    cells = exact.covariance(ReadNoise().cell_variance(g, exact.cell_voltages, dac.t_read))[0]
    sign = np.kron(np.eye(24), [1.0, -1.0])
    np.testing.assert_allclose(got, np.diagonal(sign @ cells @ sign.T), rtol=2.0 * within)
    plain = of_cells(ReadNoise(), g, dac.v_read * share, dac.t_read)
    assert np.all(plain > 1.03 * got)


def test_noise__full_and_empty_codes_are_plain_reads(rng):
    """Rows at v_read or at rest: the variance is ReadNoise.cell_variance, nothing else."""
    written, dac = array(rng), Dac()
    tile = tile_of(written, IDEAL, dac=dac, noise=ReadNoise())
    codes = np.where(np.arange(M) % 3 > 0, 255.0, 0.0)
    expected = of_cells(ReadNoise(), seen(written, CELL.gain_high, 0.1), codes / 2550.0, dac.t_read)
    np.testing.assert_allclose(many_reads(tile, codes, READS)[0], expected, rtol=SAMPLING)


@pytest.mark.parametrize("v_gate", [-2.0, -0.5, -0.1, 0.1, 0.3, 1.1, 3.0, 4.0])
def test_noise__between_gate_nodes(rng, v_gate):
    """Variances are mixed between three nodes: right to 4 % of an open gate's, and to 5 % where the gate opens."""
    written, dac = array(rng, 2, GateNodes(CELL, 8)), Dac()
    tile = tile_of(written, IDEAL, dac=dac, noise=ReadNoise())
    gain = CELL.gate_gain(v_gate)
    codes = np.full(M, 255.0)
    expected = sum(of_cells(ReadNoise(), seen(written, gain, 0.1, k), codes / 2550.0, dac.t_read) for k in range(2))
    open_ = sum(
        of_cells(ReadNoise(), seen(written, CELL.gain_high, 0.1, k), codes / 2550.0, dac.t_read) for k in range(2)
    )
    got, _ = many_reads(tile, codes, READS, np.full((1, 2), gain))
    np.testing.assert_array_less(np.abs(got - expected), 0.04 * open_.mean() + SAMPLING * expected)
    if v_gate > 0.05:
        np.testing.assert_allclose(got, expected, rtol=0.05 + SAMPLING)


def test_noise__columns_and_reads_are_independent(rng):
    tile = tile_of(array(rng), noise=ReadNoise())
    _, reads = many_reads(tile, np.full(M, 255.0), READS)
    z = (reads - reads.mean(0)) / reads.std(0)
    for a, b in itertools.combinations(range(C), 2):
        assert abs(np.mean(z[:, a] * z[:, b])) < 4.5 / READS**0.5
    for lag in (1, 2, 5):
        assert np.all(np.abs(np.mean(z[lag:] * z[:-lag], axis=0)) < 4.5 / (READS - lag) ** 0.5)


@pytest.mark.parametrize("coding", ["pulse-width", "amplitude"])
def test_noise__of_neighbours_together(rng, coding):
    """Variances of eight reads at once: their sum is that of reads one by one, and each is right to some per cent."""
    dac, rows, b = Dac(coding=coding), 60, 2000
    tile = tile_of(array(rng, rows=rows), dac=dac, noise=ReadNoise())
    one = np.sort(random_codes(rng, dac, 1, 20, rows), axis=1)  # neighbours differ by some per cent
    codes = np.ascontiguousarray(np.broadcast_to(one.transpose(2, 0, 1), (rows, b, 20)))
    spreads = []
    for group in (1, 8):
        out = np.zeros((b, C, 20))
        drive = drive_rows(codes, dac, tile.noise, tile.temperature, group=group)
        tile.add_read(drive, None, keys(b), out)
        spreads.append(out.var(0))
    single, together = spreads
    for first, last in ((0, 8), (8, 16), (16, 20)):
        np.testing.assert_allclose(together[:, first:last].sum(), single[:, first:last].sum(), rtol=1e-3)
    np.testing.assert_allclose(together**0.5, single**0.5, rtol=0.06)  # the same numbers were drawn
    assert np.abs(together / single - 1.0).max() > 1e-4


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_noise__of_strips_of_rows_together(rng, coding):
    """Rows of a strip that are driven alike add the noise of each; where they differ, their mean code counts."""
    dac, rows, b, strips = Dac(bits=4, coding=coding), 20, 3000, (0, 4, 13)
    written = array(rng, 2, GateNodes(CELL, 5), rows=rows)
    by_row, by_strip = (
        tile_of(dataclasses.replace(written, strips=each), dac=dac, noise=ReadNoise()) for each in (None, strips)
    )
    assert by_strip.variances.shape == (2, 3, 6, C)
    kinds = [
        tile.variances.reshape(2, 3, 2, -1).sum(3) for tile in (by_row, by_strip)
    ]  # white and 1/f noise of all cells
    np.testing.assert_allclose(kinds[1], kinds[0], rtol=1e-12)
    alike = np.repeat([9.0, 0.0, 15.0], [4, 9, 7])
    other = np.where(np.arange(rows) % 4 == 1, 13.0, 2.0)
    gains = np.full((b, 2), 0.4)
    for codes, within in ((alike, 1e-9), (other, 0.4)):
        batch = np.broadcast_to(codes[None, None], (b, 1, rows))
        spreads = [tile.read(batch, gains, keys(b), noise=True)[0][:, 0].var(0) for tile in (by_row, by_strip)]
        np.testing.assert_allclose(spreads[1], spreads[0], rtol=within)  # the same numbers were drawn
        if codes is other:
            assert np.abs(spreads[1] / spreads[0] - 1.0).max() > 1e-3


@pytest.mark.parametrize("coding", ["pulse-width", "amplitude"])
@pytest.mark.parametrize("p", [1, 7, 20])
def test_drive__sums_and_means_are_those_of_numpy(rng, coding, p):
    dac, noise, strips = Dac(coding=coding), ReadNoise(), (0, 2, 6)
    codes = np.rint(rng.uniform(-100.0, 255.0, (9, 3, p)).clip(0.0))
    [plane] = drive_rows(codes, dac, noise, 300.0, group=4, strips=strips).planes
    shares, power = codes / 255.0, 2 if coding == "amplitude" else 1
    np.testing.assert_allclose(plane.sums, (shares**power).sum(2).T, rtol=1e-12)
    assert plane.count == np.count_nonzero(codes)
    kinds = dac.white(shares, noise, 300.0), (shares * dac.v_read) ** 2
    np.testing.assert_allclose(plane.profile, [kind.sum(0) for kind in kinds], rtol=1e-12)
    expected = [
        [kind[first:last, :, at : at + 4].mean(axis=(0, 2)) for at in range(0, p, 4)]
        for kind in kinds
        for first, last in itertools.pairwise((*strips, 9))
    ]
    np.testing.assert_allclose(plane.noise_powers.transpose(0, 2, 1), expected, rtol=1e-12)


@pytest.mark.parametrize("p", [1, 7, 40])
@pytest.mark.parametrize("bits", [8, None])
def test_drive__some_reads_stand_for_all_in_what_rows_take_from_each_other(rng, bits, p):
    """Evenly spread from a read on that the key chooses, round the end; pulses end at the nearest of 32 steps."""
    dac = Dac(bits=bits)
    codes = dac.full_code * np.maximum(rng.normal(0.3, 0.6, (9, 3, p)), 0.0)  # some beyond a full code
    [plane] = drive_rows(codes, dac, None, 300.0, keys=np.arange(35, 38, dtype=np.uint64)).planes
    for b, key in enumerate((35, 36, 37)):
        looked_at = codes[:, b, [(key + i * p // min(p, LOOKED_AT)) % p for i in range(min(p, LOOKED_AT))]]
        assert plane.longest[b] == max(dac.full_code, looked_at.max())
        np.testing.assert_array_equal(plane.ends[b], np.floor(looked_at / plane.longest[b] * BINS + 0.5))


def test_joules__some_reads_stand_for_all_without_bias(rng):
    """Every read is looked at equally often: over all keys their energy is that of all reads one by one."""
    tile, p = tile_of(array(rng), wires=WIRES), 19
    codes = random_codes(rng, tile.dac, 1, p)

    def joules(codes, key):
        return tile.read(codes, None, np.array([key], dtype=np.uint64), noise=False)[1].joules_array

    one_by_one = sum(joules(codes[:, [i]], 0) for i in range(p))
    every = [joules(codes, key) for key in range(p)]
    assert np.mean(every) == approx(one_by_one, rel=1e-12)
    assert np.ptp(every) > 1e-9 * one_by_one


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("wrong", [-1.0, np.nan])
def test_drive__codes_below_zero_are_refused(wrong, coding):
    codes = np.full((5, 2, 3), 7.0)
    codes[3, 1, 2] = wrong
    with pytest.raises(ParameterError, match=f"codes must be ≥ 0, got {wrong:g}"):
        drive_rows(codes, Dac(coding=coding), None, 300.0)


def test_strips__have_to_agree_and_to_rise(rng):
    tile = tile_of(dataclasses.replace(array(rng), strips=(0, 3)))
    with pytest.raises(ParameterError, match=r"in the strips \(0, 3\), got None"):
        tile.add_read(drive_rows(np.zeros((M, 1, 1)), Dac(), None, 300.0), None, keys(1), np.zeros((1, C, 1)))
    for strips in ((), (1, 3), (0, 3, 3), (0, M)):
        with pytest.raises(ParameterError, match="strips must rise from 0"):
            drive_rows(np.zeros((M, 1, 1)), Dac(), None, 300.0, strips=strips)


def test_noise__is_off_when_asked(rng):
    written = array(rng)
    noisy, silent = tile_of(written, noise=ReadNoise()), tile_of(written)
    codes = np.full((1, 2, M), 100.0)
    np.testing.assert_array_equal(
        noisy.read(codes, None, keys(1), noise=False)[0], silent.read(codes, None, keys(1), noise=True)[0]
    )


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial"])
@pytest.mark.parametrize("bits", [None, 8])
def test_noise__the_batch_does_not_matter(rng, bits, coding):
    dac = Dac(bits=4, coding=coding)
    tile = tile_of(array(rng, 2, GateNodes(CELL, 5)), dac=dac, adc=Adc(bits=bits), noise=ReadNoise())
    codes, gains = random_codes(rng, dac, 5, 7), rng.uniform(0.1, 0.9, (5, 2))
    together, done = tile.read(codes, gains, keys(5), noise=True)
    total = Activity()
    for b in range(5):
        alone, activity = tile.read(codes[b : b + 1], gains[b : b + 1], keys(5)[b : b + 1], noise=True)
        np.testing.assert_allclose(together[b], alone[0], rtol=0.0, atol=1e-14 * np.abs(together).max())
        total = total + activity
    for name, value in vars(total).items():
        assert getattr(done, name) == approx(value, rel=1e-12)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_noise__threads_change_no_bit(rng):
    dac = Dac()
    tile = tile_of(array(rng), dac=dac, noise=ReadNoise())
    codes = random_codes(rng, dac, 6, 9)
    before = worker_threads.threads()
    results = []
    try:
        for count in (1, 2):
            worker_threads.set_threads(count)
            results.append(tile.read(codes, None, keys(6), noise=True))
    finally:
        worker_threads.set_threads(before)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


# ---- energy ----


def twins_joules(written, codes, dac, wires, gains=None):
    """Power of the slow twin, every instant of every read, times time."""
    total = 0.0
    for b, p, k in itertools.product(*(range(n) for n in codes.shape[:2]), range(len(written.g_filament))):
        g = seen(written, CELL.gain_high if gains is None else gains[b, k], dac.v_read, k)
        code = codes[b, p]
        if dac.coding == "amplitude":
            total += reference_solve(g, dac.v_read * code[None] / dac.full_code, wires).power[0] * dac.t_slot
        elif dac.coding == "bit-serial":
            on = np.array([(code.astype(int) >> bit) & 1 for bit in range(dac.bits)])
            total += reference_solve(g, dac.v_read * on, wires).power.sum() * dac.t_slot
        else:  # rows go off one after another
            ends = np.concatenate([[0.0], np.unique(code)])
            on = np.array([code >= end for end in ends[1:]])
            total += (reference_solve(g, dac.v_read * on, wires).power * np.diff(ends)).sum() * dac.t_slot
    return total


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_joules__the_twins_power_times_time(rng, coding):
    """Couplings between rows enter as products of factors, and pulses end in one of 32 steps: 1e-3 on few rows."""
    dac = Dac(bits=4, coding=coding)
    for wires in (WIRES, Wires(2.8, 2.8, 2.8, 2.8), Wires(1.0, 1.0, 100.0, 500.0)):
        written = array(rng, 2, GateNodes(CELL, 8))
        codes, gains = random_codes(rng, dac, 2, 2), rng.uniform(0.05, 0.9, (2, 2))
        _, done = tile_of(written, wires, dac).read(codes, gains, keys(2), noise=False)
        assert done.joules_array == approx(twins_joules(written, codes, dac, wires, gains), rel=1e-3)


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_joules__exact_where_rows_do_not_meet(rng, coding):
    """Columns held at 0 V let nothing pass from row to row."""
    dac = Dac(bits=4, coding=coding)
    wires = Wires(3.0, 0.0, 200.0, 0.0)
    written = array(rng)
    codes = random_codes(rng, dac, 2, 2)
    _, done = tile_of(written, wires, dac).read(codes, None, keys(2), noise=False)
    assert done.joules_array == approx(twins_joules(written, codes, dac, wires), rel=1e-9)


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_joules__exact_where_all_rows_are_driven_alike(rng, coding):
    """Then no row is below another, whatever the wires."""
    dac = Dac(bits=4, coding=coding)
    codes = np.repeat(random_codes(rng, dac, 2, 3, 1), M, axis=2)
    written = array(rng)
    _, done = tile_of(written, dac=dac).read(codes, None, keys(2), noise=False)
    tight = {"amplitude": 1e-9, "bit-serial": 1e-9, "pulse-width": 1e-3}[coding]  # a pulse's end falls into a step
    assert done.joules_array == approx(twins_joules(written, codes, dac, WIRES), rel=tight)


def test_joules__without_rows_at_rest_they_were_too_few(rng):
    """Half of the rows off: what they take is some per cent that the columns' currents do not show."""
    dac, wires = Dac(bits=1, coding="bit-serial"), Wires(2.8, 2.8, 2.8, 2.8)
    written = array(rng, rows=64, pairs=16)
    codes = np.repeat([[0.0, 1.0]], 32, axis=0).reshape(1, 1, 64)
    tile = tile_of(written, wires, dac)
    _, done = tile.read(codes, None, keys(1), noise=False)
    columns = float(tile.to_columns[0, 0] @ codes[0, 0]) * dac.v_read**2 * dac.t_slot
    exact = twins_joules(written, codes, dac, wires)
    assert columns < 0.98 * exact
    assert done.joules_array == approx(exact, rel=5e-4)  # the far half off, the near half on: the worst order


def test_joules__no_reads_none():
    written = WrittenArray(np.full((1, 2, 2), 1e-5), np.zeros((1, 2, 2)), None, 1e-6, np.zeros(1))
    tile = tile_of(written)
    out, done = tile.read(np.zeros((0, 3, 2)), None, keys(0), noise=False)
    assert out.shape == (0, 3, 1)
    assert done == Activity()
    assert tile.read(np.zeros((1, 3, 2)), None, keys(1), noise=False)[1].joules_array == 0.0


# ---- counts ----


@pytest.mark.parametrize(
    ("coding", "planes", "pulses"), [("pulse-width", 1, 5), ("amplitude", 1, 5), ("bit-serial", 2, 7)]
)
def test_activity__by_hand(coding, planes, pulses):
    """Two inputs, three positions, two rows, one pair, two gate groups; five codes are not 0, seven bits are 1."""
    g = np.full((2, 2, 2), 1e-5)
    nodes = GateNodes(CELL, 3)
    written = WrittenArray(g, np.zeros_like(g), nodes, 1e-6, np.zeros(1))
    tile = tile_of(written, dac=Dac(bits=2, coding=coding))
    codes = np.array([[[0, 1], [3, 0], [0, 0]], [[2, 0], [3, 1], [0, 0]]], dtype=float)
    _, done = tile.read(codes, np.full((2, 2), nodes.gains[1]), keys(2), noise=False)
    assert done.reads == 2 * 3 * planes * 2
    assert done.row_pulses == pulses * 2
    assert done.row_codes == 2 * 3 * 2 * 2
    assert done.conversions == 2 * 3 * planes * 1
    assert done.cell_reads == pulses * 2 * 2
    assert done.additions == 2 * 3 * (planes - 1)
    assert done.gate_updates == done.gate_swing == done.multiplications == done.buffer_bits == 0.0
    assert done.joules_array > 0.0


def test_activity__adds_and_scales():
    one = Activity(reads=1.0, conversions=2.0, joules_array=3.0)
    two = one + one.scaled(2.0)
    assert two == Activity(reads=3.0, conversions=6.0, joules_array=9.0)


# ---- bad input ----


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.ones((2, M)), r"codes must have shape \(any, any, 11\), got \(2, 11\)"),
        (np.ones((1, 2, M + 1)), r"codes must have shape \(any, any, 11\), got \(1, 2, 12\)"),
        (-np.ones((1, 2, M)), "codes must be ≥ 0 everywhere, got -1"),
        (np.full((1, 2, M), np.nan), "codes must hold no nan"),
    ],
)
def test_read__bad_codes_are_refused(rng, codes, words):
    with pytest.raises(ParameterError, match=words):
        tile_of(array(rng)).read(codes, None, keys(1), noise=False)


@pytest.mark.parametrize(("gains", "shown"), [(None, "None"), (np.ones(2), r"\(2,\)"), (np.ones((1, 3)), r"\(1, 3\)")])
def test_read__bad_gains_are_refused(rng, gains, shown):
    tile = tile_of(array(rng, 2, GateNodes(CELL, 3)))
    with pytest.raises(ParameterError, match=rf"gains must have shape \(1, 2\) for a gated tile, got {shown}"):
        tile.read(np.ones((1, 1, M)), gains, keys(1), noise=False)


def test_read__gains_outside_the_window_are_refused(rng):
    tile = tile_of(array(rng, 1, GateNodes(CELL, 3)))
    with pytest.raises(ParameterError, match="gain must lie between"):
        tile.read(np.ones((1, 1, M)), np.array([[0.99]]), keys(1), noise=False)


def test_read__gains_of_a_gate_driver_are_always_inside(rng):
    tile = tile_of(array(rng, 1, GateNodes(CELL, 3)))
    gains = GateDac(bits=5).gains(np.linspace(0.0, 1.0, 33)[:, None], CELL)
    assert tile.read(np.ones((33, 1, M)), gains, keys(33), noise=False)[0].shape == (33, 1, C)


def test_terminal_conductances__shape_and_values(rng):
    nodes = GateNodes(CELL, 4)
    written = array(rng, 2, nodes)
    all_nodes = terminal_conductances(CELL, written, 0.1, nodes)
    assert all_nodes.shape == (2, 4, M, 2 * C)
    np.testing.assert_allclose(all_nodes[1, 2], seen(written, nodes.gains[2], 0.1, 1), rtol=1e-12)
    np.testing.assert_allclose(
        terminal_conductances(CELL, written, 0.1, None)[0, 0], seen(written, CELL.gain_high, 0.1), rtol=1e-12
    )


# ---- ranges of bit-serial reads ----


def bit_serial(rng, bits=5):
    """A tile, codes that are mostly small as behind a rectifier, and the largest current of each read of a word."""
    dac = Dac(bits=bits, coding="bit-serial")
    written = array(rng, rows=60, pairs=6)
    codes = dac.codes(rng.exponential(0.2, (4, 30, 60)))
    tile = tile_of(written, dac=dac)
    peaks = [float(np.abs(tile.currents(driven, tile.mix(None, 4))).max()) for _, driven, _ in dac.split(codes)]
    return replace(written, full_scale=1.1 * max(peaks)), dac, codes, np.array(peaks) / max(peaks)


def test_bit_ranges__leave_a_continuous_converter_alone(rng):
    written, dac, codes, peaks = bit_serial(rng)
    one, _ = tile_of(written, dac=dac).read(codes, None, keys(4), noise=False)
    each, _ = tile_of(replace(written, bit_ranges=tuple(peaks)), dac=dac).read(codes, None, keys(4), noise=False)
    np.testing.assert_allclose(each, one, rtol=1e-12, atol=1e-12 * np.abs(one).max())


def test_bit_ranges__lessen_the_error_of_small_codes(rng):
    written, dac, codes, peaks = bit_serial(rng)
    exact, _ = tile_of(written, dac=dac).read(codes, None, keys(4), noise=False)
    errors = []
    for ranges in ((), tuple(peaks)):
        tile = tile_of(replace(written, bit_ranges=ranges), dac=dac, adc=Adc(bits=5, offset=0.0))
        found, activity = tile.read(codes, None, keys(4), noise=False)
        errors.append(np.sqrt(np.mean((found * tile.adc.lsb(tile.full_scale) - exact) ** 2)))
        assert activity.conversions == 4 * 30 * 5 * 6
    assert peaks[-1] < 0.7
    assert errors[1] < 0.75 * errors[0]


def test_bit_ranges__noise_is_that_of_the_same_cells(rng):
    written, dac, codes, peaks = bit_serial(rng)
    read = []
    for ranges in ((), tuple(peaks)):
        tile = tile_of(replace(written, bit_ranges=ranges), dac=dac, noise=ReadNoise())
        read.append(tile.read(codes, None, keys(4), noise=True)[0])
    np.testing.assert_allclose(read[1], read[0], rtol=0.0, atol=1e-9 * np.abs(read[0]).max())


def test_bit_ranges__refuse_another_number_of_reads(rng):
    with pytest.raises(ParameterError, match=r"^bit_ranges must be empty or hold one for each of 1 reads, got 3$"):
        tile_of(replace(array(rng), bit_ranges=(1.0, 1.0, 1.0)))
