"""Vectors in registers: each lane agrees with NumPy and with the scalar code."""

import math

import numpy as np
import pytest

from devices import AdaptiveMemristor
from devices.numerics.exponential import expm1
from devices.numerics.jit import kernel
from devices.numerics.simd import (
    LANES,
    WIDE,
    absolute,
    broadcast,
    choose,
    everywhere,
    fused,
    larger,
    load,
    load_wide,
    positive_or,
    root,
    smaller,
    store,
)
from devices.states import filament as dynamics
from devices.states import filament_blocks


@kernel
def exponentials(x, out, alone):
    for i in range(0, len(x), WIDE):
        store(out, i, expm1(load_wide(x, i)))
    for i in range(len(x)):
        alone[i] = expm1(x[i])


@kernel
def combined(a, b, out):
    """Every operation once."""
    for i in range(0, len(a), WIDE):
        x, y = load_wide(a, i), load_wide(b, i)
        z = choose((x > y) & (x >= 0.25) | (y <= 0.1), 2.0 * x - y, fused(x, y, -x))
        z = choose(y < 0.9, z, root(absolute(z)) / (1.0 + y))
        store(out, i, larger(z, 0.1) * smaller(y, 0.5) + positive_or(x - y, x))


@kernel
def alone(x, y):
    z = choose((x > y) & (x >= 0.25) | (y <= 0.1), 2.0 * x - y, fused(x, y, -x))
    z = choose(y < 0.9, z, root(absolute(z)) / (1.0 + y))
    return larger(z, 0.1) * smaller(y, 0.5) + positive_or(x - y, x)


@kernel
def counted(a, limit):
    full = 0
    for i in range(0, len(a), LANES):
        full += everywhere(load(a, i) <= broadcast(limit))
    return full


@kernel
def stepped(x, carried, series, window, grow, shrink, v, pace, lanes, single):
    a, u, sinh, cosh, field = carried
    for i in range(0, len(x), WIDE):
        after = filament_blocks.quick_step(
            load_wide(x, i), load_wide(a, i), load_wide(u, i), load_wide(sinh, i), load_wide(cosh, i),
            load_wide(field, i), load_wide(series, i), load_wide(window, i), load_wide(grow, i),
            load_wide(shrink, i), load_wide(v, i), pace,
        )  # fmt: skip
        for k in range(6):
            store(lanes[k], i, after[k])
    for i in range(len(x)):
        after = filament_blocks.quick_step(
            x[i], a[i], u[i], sinh[i], cosh[i], field[i], series[i], window[i], grow[i], shrink[i], v[i], pace
        )  # fmt: skip
        for k in range(6):
            single[k][i] = after[k]


def test_expm1__is_numpys_over_the_whole_range(rng):
    """Two units of the last place wherever there is a result, exact at the ends and for nan."""
    tiny = 10.0 ** rng.uniform(-320.0, 0.0, 4000)
    edges = [0.0, -0.0, 709.782712893384, 709.7827128933841, 710.0, 1e300, math.inf, math.nan,
             -37.0, -40.0, -99.9, -100.1, -1e300, -math.inf, 5e-324, -5e-324]  # fmt: skip
    x = np.concatenate([rng.uniform(-750.0, 750.0, 4000), rng.uniform(-2.0, 2.0, 4000), tiny, -tiny, edges])
    lanes, single = np.empty_like(x), np.empty_like(x)
    exponentials(x, lanes, single)
    with np.errstate(over="ignore"):
        exact = np.expm1(x)
    for found in (lanes, single):
        finite = np.isfinite(exact)
        assert np.array_equal(found[~finite], exact[~finite], equal_nan=True)
        assert np.all(np.abs(found[finite] - exact[finite]) <= 2.0 * np.spacing(np.abs(exact[finite])))


def test_operations__are_those_of_numbers(rng):
    a, b = rng.normal(size=(2, 40 * WIDE))
    a[:2], b[2:4], a[4] = 0.25, 0.1, b[4]
    out = np.empty_like(a)
    combined(a, b, out)
    assert np.allclose(out, [alone.py_func(x, y) for x, y in zip(a, b, strict=True)], rtol=1e-14, atol=1e-15)
    assert np.array_equal(out, [alone(x, y) for x, y in zip(a, b, strict=True)])


def test_masks__are_true_everywhere_or_not():
    a = np.repeat([0.0, 1.0], LANES)
    assert [counted(a, limit) for limit in (-1.0, 0.0, 0.5, 1.0)] == [0, 1, 1, 2]
    a[LANES - 1] = 2.0
    assert counted(a, 0.5) == 0
    a[0] = math.nan
    assert counted(a, 9.0) == 1


@pytest.fixture(scope="module")
def cells():
    """States and gates of many cells, and the same after a step, so that half of them carry what they know."""
    rng, cell, size = np.random.default_rng(8), AdaptiveMemristor(v_reset=0.03), 512
    w = rng.random(size)
    gain = cell.gain_with_offset(rng.uniform(-2.0, 4.0, size), 0.0)
    series = cell.r_series * cell.g_min * gain
    return cell, w, gain, series, np.full(size, cell.growth().ln_window)


@pytest.mark.parametrize(("v", "dt"), [(0.3, 1e-3), (-0.27, 1e-3), (0.0, 1e5), (0.55, 1e-3), (0.9, 1e-9), (30.0, 1e-9)])
def test_step__lanes_are_their_scalar_twin_and_do_not_touch(cells, v, dt):
    """One function, compiled for numbers and for eight lanes: 1e-13 apart for each cell, whatever its neighbours do."""
    cell, w, _, series, window = cells
    growth, size = cell.growth(), len(w)
    pace = filament_blocks.pace_of(growth, cell.v_0, dt, 0.005)
    grow, carried = np.full(size, growth.k_set), np.full((5, size), np.nan)
    shrink = np.full(size, growth.k_reset)
    volts = np.full(size, v)
    for shift in (0.0, 0.002, 0.003):  # the second and third step go on from what the one before left
        lanes, single = np.empty((6, size)), np.empty((6, size))
        stepped(w, tuple(carried), series, window, grow, shrink, volts + shift, pace, tuple(lanes), tuple(single))
        assert np.allclose(lanes, single, rtol=1e-13, atol=1e-15, equal_nan=True)
        carried = lanes[1:].copy()
        carried[1, ::3] = np.nan  # some lanes know nothing
        w = np.where(lanes[0] >= 0.0, lanes[0], w)


@pytest.mark.parametrize(
    ("v", "dt"), [(0.3, 1e-3), (-0.25, 1e-3), (0.05, 1e-3), (0.0, 1e4), (0.45, 1e-6), (0.9, 1e-10), (2.0, 1e-23)]
)
def test_step__is_the_midpoint_of_the_rates(cells, v, dt):
    """What is accepted is eq. 2 with `rates`, the one source of the physics, from anew and from carried values."""
    cell, w, gain, series, window = cells
    law, growth, size = cell.law, cell.growth(), len(w)
    pace = filament_blocks.pace_of(growth, cell.v_0, dt, 0.005)
    carried, grow, out = np.full((5, size), np.nan), np.full(size, growth.k_set), np.empty(size)
    shrink = np.full(size, growth.k_reset)
    filament_blocks.step_block(
        pace, w, carried, series, window, grow, shrink, np.full(size, v - 0.003 * np.sign(v)), out
    )
    w = np.where(out >= 0.0, out, w)
    for anew in (False, True):
        if anew:
            carried[1] = np.nan
        filament_blocks.step_block(pace, w, carried, series, window, grow, shrink, np.full(size, v), out)
        taken = out >= 0.0
        assert taken.mean() > 0.5
        for i in np.flatnonzero(taken)[::7]:
            up, down = dynamics.rates(law, growth, w[i], v, gain[i], 1.0)
            middle = dynamics.frozen_step(w[i], up, down, 0.5 * dt)
            exact = dynamics.frozen_step(w[i], *dynamics.rates(law, growth, middle, v, gain[i], 1.0), dt)
            calm = 1e-5 if abs(exact - w[i]) < 2e-5 else 0.0  # first order there: off by 2.5 of its square
            assert out[i] == pytest.approx(exact, rel=0.0, abs=1e-5 * abs(exact - w[i]) + 5.0 * calm**2 + 1e-15)
