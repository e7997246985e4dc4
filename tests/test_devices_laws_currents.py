"""Current-voltage laws: limits by hand, the series circuit, slopes by finite differences, dispatch."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from devices import AdaptiveMemristor, OhmicLaw, ParameterError, cell_current
from devices.cells.presets import adaptive_2d, ideal_adaptive
from devices.laws import barrier_blocks as barriers
from devices.laws import dispatch
from devices.laws.adaptive import BLOCK, adaptive_secants
from devices.laws.barrier import barrier_voltage, small_sinh
from devices.numerics.jit import kernel

ROOT = Path(__file__).resolve().parents[1]
LAW = adaptive_2d().law
LAWS = {
    "adaptive": LAW,
    "straight": LAW._replace(v_0=math.inf),
    "no series": LAW._replace(r_series=0.0),
    "no leak": LAW._replace(g_leak=0.0),
    "ideal": ideal_adaptive().law,
    "strong series": LAW._replace(r_series=1e6),
}
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
filaments = st.floats(-7.0, -4.0).map(lambda x: 10.0**x)
gains = st.floats(0.01, 1.0)
volts = st.floats(-1.5, 1.5)


def test_gated_current__bare_barrier_is_a_sinh():
    law = LAW._replace(r_series=0.0, g_leak=0.0)
    current, slope = dispatch.gated_current(law, 1e-5, 0.5, 0.3)
    assert current == pytest.approx(0.5e-5 * 0.25 * math.sinh(1.2), rel=1e-14, abs=0)
    assert slope == pytest.approx(0.5e-5 * math.cosh(1.2), rel=1e-14, abs=0)


def test_gated_current__without_curvature_it_is_three_resistors():
    current, slope = dispatch.gated_current(LAWS["straight"], 1e-5, 0.5, 0.3)
    conductance = 1.0 / (1.0 / 0.5e-5 + 1e3) + 1e-9
    assert current == pytest.approx(0.3 * conductance, rel=1e-14, abs=0)
    assert slope == pytest.approx(conductance, rel=1e-14, abs=0)


def test_gated_current__a_huge_curvature_voltage_tends_to_the_straight_line():
    near = dispatch.gated_current(LAW._replace(v_0=1e4), 1e-5, 0.5, 0.3)
    assert near == pytest.approx(dispatch.gated_current(LAWS["straight"], 1e-5, 0.5, 0.3), rel=1e-9, abs=0)


@pytest.mark.parametrize(("v", "error"), [(0.1, 0.027), (0.2, 0.11)])
def test_gated_current__curvature_at_read_voltages(v, error):
    current, _ = dispatch.gated_current(LAW._replace(r_series=0.0, g_leak=0.0), 1e-5, 1.0, v)
    assert current / (1e-5 * v) - 1.0 == pytest.approx(error, abs=6e-4 if v < 0.15 else 3e-3)


@every_law
@given(g=filaments, gain=gains, v=volts)
def test_gated_current__solves_the_series_circuit(law, g, gain, v):
    """The series resistance carries what the barrier carries: the current less the leak."""
    current, _ = dispatch.gated_current(law, g, gain, v)
    through = current - law.g_leak * v
    x = v - law.r_series * through
    barrier = gain * g * (x if math.isinf(law.v_0) else law.v_0 * math.sinh(x / law.v_0))
    # x is a difference: its rounding, seen through the barrier's slope, bounds what the check can see
    slope = gain * g * (1.0 if math.isinf(law.v_0) else math.cosh(x / law.v_0))
    assert barrier == pytest.approx(through, rel=1e-12, abs=4e-16 * abs(v) * slope + 1e-30)


@every_law
@given(g=filaments, gain=gains, v=volts)
def test_gated_current__slope_is_the_derivative(law, g, gain, v):
    _, slope = dispatch.gated_current(law, g, gain, v)
    h = 1e-4
    ahead, behind = (dispatch.gated_current(law, g, gain, v + d)[0] for d in (h, -h))
    twice = [dispatch.gated_current(law, g, gain, v + d)[0] for d in (2 * h, -2 * h)]
    derivative = (8 * (ahead - behind) - (twice[0] - twice[1])) / (
        12 * h
    )  # error h^4: 1e-13 of the slope, here rounding
    assert slope == pytest.approx(derivative, rel=1e-8, abs=0)


@every_law
@given(g=filaments, gain=gains, v=st.floats(1e-6, 1.5))
def test_gated_current__odd_passive_and_rising(law, g, gain, v):
    current, slope = dispatch.gated_current(law, g, gain, v)
    assert dispatch.gated_current(law, g, gain, -v) == (-current, slope)
    assert current > 0.0
    assert slope > 0.0
    assert dispatch.gated_current(law, g, gain, v * 1.001)[0] > current
    assert dispatch.gated_current(law, g * 1.01, gain, v)[0] > current


@every_law
def test_gated_current__nothing_at_zero_volt_or_without_filament(law):
    assert dispatch.gated_current(law, 1e-5, 0.5, 0.0)[0] == 0.0
    assert dispatch.gated_current(law, 0.0, 0.5, 0.2) == pytest.approx((law.g_leak * 0.2, law.g_leak), rel=1e-14, abs=0)


@given(log_a=st.floats(-12, 12), log_s=st.floats(-6, 3))
def test_barrier_voltage__root_over_twenty_decades(log_a, log_s):
    a, s = 10.0**log_a, 10.0**log_s
    root = brentq(lambda u: (u - s) + a * math.sinh(u), 0.0, min(s, math.asinh(s / a) * 1.001), xtol=1e-300, rtol=1e-15)
    assert barrier_voltage(1.0, a, 1.0, s) == pytest.approx(root, rel=4e-15, abs=0)


def test_barrier_voltage__both_branches_meet():
    below, above = (barrier_voltage(0.25, 1e3, 5e-5, 0.25 * (1 + d)) for d in (-1e-15, 1e-15))
    assert below == pytest.approx(above, rel=1e-14, abs=0)


def test_small_sinh__is_sinh():
    u = np.linspace(-1, 1, 401)
    assert np.allclose([small_sinh(x) for x in u], np.sinh(u), rtol=5e-16, atol=0)


def test_cell_current__is_the_gated_current_at_the_gate_voltage_s_gain():
    gain = dispatch.law_gain(LAW, 1.3)
    assert gain == adaptive_2d().gate_gain(1.3)
    assert cell_current(LAW, 1e-5, 0.1, 1.3) == dispatch.gated_current(LAW, 1e-5, gain, 0.1)


def test_ohmic_law__by_hand():
    assert cell_current(OhmicLaw(), 2e-6, 0.3, 7.0) == pytest.approx((6e-7, 2e-6), rel=1e-14, abs=0)
    assert cell_current(OhmicLaw(g_leak=1e-6), 2e-6, 0.3, 7.0) == pytest.approx((9e-7, 3e-6), rel=1e-14, abs=0)


@kernel
def summed(law, g, v, v_gate):
    """A solver that knows no law."""
    current, slope = 0.0, 0.0
    for i in range(v.size):
        i_cell, g_cell = cell_current(law, g[i], v[i], v_gate[i])
        current += i_cell
        slope += g_cell
    return current, slope


class CubicLaw(NamedTuple):
    """A user's law: a cubic, with a gate that multiplies."""

    v_cube: float


@kernel
def cubic_gain(law, v_gate):
    return 0.5 * v_gate


@kernel
def cubic_current(law, g_filament, gain, v):
    g = g_filament * gain
    return g * v * (1 + (v / law.v_cube) ** 2), g * (1 + 3 * (v / law.v_cube) ** 2)


dispatch.register(CubicLaw, cubic_gain, cubic_current)


@pytest.mark.parametrize("law", [OhmicLaw(), LAW, CubicLaw(0.5)], ids=lambda law: type(law).__name__)
def test_dispatch__one_solver_takes_every_law_by_type(law):
    g, v, v_gate = np.array([1e-6, 1e-5]), np.array([0.1, 0.3]), np.array([1.0, 2.0])
    expected = np.sum([cell_current(law, *row) for row in zip(g, v, v_gate, strict=True)], axis=0)
    assert summed(law, g, v, v_gate) == pytest.approx(tuple(expected), rel=1e-14, abs=0)


def test_dispatch__an_unknown_law_is_named():
    with pytest.raises(ParameterError, match=r"law must be one of OhmicLaw, AdaptiveLaw.*, got \(1, 2\)"):
        cell_current((1, 2), 1e-5, 0.1, 0.0)


def test_adaptive_secants__equal_current_over_voltage():
    v = np.array([-2.0, -0.25, -0.1, 1e-9, 0.1, 0.25, 0.26, 1.0])
    flat = np.full_like(v, 3e-5), np.full_like(v, 0.7), v
    currents, _ = dispatch.currents(LAW, *flat)
    assert np.allclose(adaptive_secants(LAW, *flat), currents / v, rtol=1e-14, atol=0)


def test_adaptive_secants__at_zero_volt_they_are_the_slope():
    zero = np.zeros(1)
    for law in LAWS.values():
        slope = dispatch.gated_current(law, 3e-5, 0.7, 0.0)[1]
        assert adaptive_secants(law, zero + 3e-5, zero + 0.7, zero)[0] == pytest.approx(slope, rel=1e-15, abs=0)


def test_python_mode__gives_the_same_numbers():
    """Without the compiler the same functions run in plain Python."""
    code = (
        "from devices import AdaptiveMemristor as A; c = A();"
        "print(repr([float(x) for x in (*c.current(0.6, 1.0, 0.4), c.conductance(0.6, 1.0, 0.1), c.gate_voltage(0.3),"
        "c.evolve(0.2, 0.6, 1.0, 1e-4))]))"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    cell = AdaptiveMemristor()
    compiled = [
        *cell.current(0.6, 1.0, 0.4),
        cell.conductance(0.6, 1.0, 0.1),
        cell.gate_voltage(0.3),
        cell.evolve(0.2, 0.6, 1.0, 1e-4),
    ]
    assert np.allclose([float(x) for x in run.stdout.strip("[]\n").split(",")], compiled, rtol=1e-13, atol=0)


@kernel
def grown(u):
    out = np.empty_like(u)
    for i in range(u.size):
        out[i] = barriers.growth(u[i])
    return out


def test_growth__is_expm1(rng):
    u = np.concatenate((10.0 ** rng.uniform(-300.0, 0.0, 500), rng.uniform(-0.3, 3.0, 2000), np.linspace(0, 700, 5000)))
    np.testing.assert_allclose(grown(u), np.expm1(u), rtol=3 * np.finfo(float).eps)  # 1 ours, up to 1 of each library


def test_barrier_block__root_over_many_decades(rng):
    """The block's residual, relative to s, is rounding; sinh and cosh are those of the root."""
    s, a = 10.0 ** rng.uniform(-12.0, 2.7, 4096), 10.0 ** rng.uniform(-20.0, 20.0, 4096)
    s[:3], a[1:5] = 0.0, 0.0
    u, sinh, cosh = (np.empty(4096) for _ in range(3))
    assert barriers.barrier_block(a, s, u, sinh, cosh)
    assert (u >= 0.0).all()
    np.testing.assert_allclose(u + a * sinh, s, rtol=1e-15, atol=0)
    np.testing.assert_allclose(sinh, np.sinh(u), rtol=3e-14, atol=0)  # u to 600: rounding of u counts u times
    np.testing.assert_allclose(cosh, np.cosh(u), rtol=3e-14, atol=0)


@every_law
@pytest.mark.parametrize("widest", [0.2, 2.0, 30.0, 1e3])
def test_currents__of_arrays_are_those_of_single_cells(law, widest, rng):
    """Blocks of all kinds, a last one that is not full, cells without filament, inputs that overflow alone."""
    count = 3 * BLOCK + 5
    g, gain, v = 10.0 ** rng.uniform(-8.0, -3.0, count), rng.uniform(0.01, 1.0, count), rng.uniform(-1.0, 1.0, count)
    v[BLOCK:] *= widest
    g[::7], v[::11] = 0.0, 0.0
    found, expected = dispatch.currents(law, g, gain, v), (np.empty(count), np.empty(count))
    with np.errstate(over="ignore", invalid="ignore"):
        dispatch.one_by_one(law, g, gain, v, *expected)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=4e-15, atol=0)


def test_currents__no_number_stays_with_its_cell():
    v = np.array([0.1, math.nan, -3.0, math.inf, 1.0])
    flat = np.full(5, 1e-5), np.ones(5)
    current, slope = dispatch.currents(LAW, *flat, v)
    assert np.isnan(current[1])
    for i in (0, 2, 4):
        assert (current[i], slope[i]) == pytest.approx(dispatch.gated_current(LAW, 1e-5, 1.0, v[i]), rel=4e-15)


def test_fill_currents__in_python_and_for_laws_without_an_array_kernel():
    law, v = CubicLaw(0.5), np.array([0.1, 0.3])
    current, slope = np.empty(2), np.empty(2)
    dispatch.fill_currents(law, np.full(2, 1e-5), np.ones(2), v, current, slope)
    expected = [dispatch.gated_current(law, 1e-5, 1.0, each) for each in v]
    np.testing.assert_allclose(np.transpose((current, slope)), expected, rtol=1e-15, atol=0)
    with pytest.raises(ParameterError, match="law must be one of"):
        dispatch.fill_currents((1, 2), v, v, v, current, slope)
