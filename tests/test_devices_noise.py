"""Noise: thermal and shot limits, published figures, the 1/f law at its joints."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.constants import e, k

from devices import ParameterError, ReadNoise
from devices.constants import CONDUCTANCE_QUANTUM
from devices.noise import flicker_ratio, thermal_shot_density

WHITE = ReadNoise(flicker=False)
PINK = ReadNoise(thermal_shot=False)


@given(log_g=st.floats(-9, -3), t=st.floats(4, 500))
def test_thermal_shot_density__thermal_at_small_and_shot_at_large_voltage(log_g, t):
    g = 10.0**log_g
    small, large = 1e-4 * k * t / e, 40 * k * t / e
    assert thermal_shot_density(g * small, small, t) == pytest.approx(4 * k * t * g, rel=1e-8)
    assert thermal_shot_density(g * large, large, t) == pytest.approx(2 * e * g * large, rel=1e-12)


@given(v=st.floats(1e-6, 1.0), t=st.floats(4, 500))
def test_thermal_shot_density__formula_sign_and_bounds(v, t):
    density = thermal_shot_density(1e-5 * v, v, t)
    assert density == pytest.approx(2 * e * 1e-5 * v / math.tanh(e * v / (2 * k * t)), rel=1e-12)
    assert density == thermal_shot_density(-1e-5 * v, -v, t)
    thermal, shot = 4 * k * t * 1e-5, 2 * e * 1e-5 * v
    assert max(thermal, shot) * (1 - 1e-12) <= density < thermal + shot  # so the two must not be added


@pytest.mark.parametrize(("g", "ratio"), [(10e-6, 0.0041), (1e-6, 0.013), (50e-6, 0.0018)])
def test_cell_variance__published_figures_at_50_mhz(g, ratio):
    sigma = math.sqrt(WHITE.cell_variance(g, 0.1, t_read=1e-8))
    assert sigma / (g * 0.1) == pytest.approx(ratio, rel=0.02)


def test_cell_variance__column_of_128_cells():
    variance = 128 * WHITE.cell_variance(10e-6, 0.05, t_read=1e-8)
    assert math.sqrt(variance) / (128 * 10e-6 * 0.05) == pytest.approx(0.0006, abs=5e-5)


def test_cell_variance__thermal_noise_stays_at_zero_volt():
    assert WHITE.cell_variance(1e-5, 0.0, 1e-8, 350.0) == pytest.approx(4 * k * 350.0 * 1e-5 * 5e7, rel=1e-14)
    assert PINK.cell_variance(1e-5, 0.0, 1e-8) == 0.0


def test_cell_variance__longer_reads_are_quieter():
    times = np.logspace(-9, -3, 13)
    white = np.array([WHITE.cell_variance(1e-5, 0.1, t) for t in times])
    assert np.allclose(white * times, white[0] * times[0], rtol=1e-12)
    pink = np.array([PINK.cell_variance(1e-5, 0.1, t) for t in times])
    steps = np.diff(pink)
    assert np.all(steps < 0)
    assert np.allclose(steps, steps[0], rtol=1e-9)  # logarithmic


def test_cell_variance__over_the_reference_band_1_f_noise_is_the_measured_ratio():
    noise = ReadNoise(thermal_shot=False, observation_time=1.0)
    variance = noise.cell_variance(1e-5, 0.1, t_read=0.5e-5)  # 1 Hz to 100 kHz
    assert math.sqrt(variance) / 1e-6 == pytest.approx(flicker_ratio(1e-5), rel=1e-12)


def test_cell_variance__no_1_f_noise_is_left_when_the_observation_is_one_read():
    assert ReadNoise(thermal_shot=False, observation_time=1e-8).cell_variance(1e-5, 0.1, 1e-8) == 0.0


def test_cell_variance__parts_add_and_none_is_silent(rng):
    g, v = rng.uniform(0, 5e-5, (6, 4)), rng.uniform(-0.2, 0.2, (6, 1))
    both = ReadNoise().cell_variance(g, v, 1e-8)
    assert np.allclose(both, WHITE.cell_variance(g, v, 1e-8) + PINK.cell_variance(g, v, 1e-8), rtol=1e-13)
    assert np.array_equal(ReadNoise.none().cell_variance(g, v, 1e-8), np.zeros((6, 4)))


def test_cell_variance__a_column_is_two_matrix_products(rng):
    g, v = rng.uniform(0, 5e-5, (6, 4)), rng.uniform(-0.2, 0.2, (3, 6))
    noise = ReadNoise()
    products = noise.white_per_siemens(v, 1e-8) @ g + v**2 @ noise.flicker_squared(g, 1e-8)
    summed = noise.cell_variance(g, v[:, :, None], 1e-8).sum(axis=1)
    assert np.allclose(products, summed, rtol=1e-12)


@pytest.mark.parametrize(
    ("g", "ratio", "tolerance"),
    [(CONDUCTANCE_QUANTUM, 0.006, 5e-4), (50e-6, 0.008, 1e-4), (10e-6, 0.027, 5e-4), (1 / 500, 5e-4, 1e-12)],
)
def test_flicker_ratio__published_figures(g, ratio, tolerance):
    assert flicker_ratio(g) == pytest.approx(ratio, abs=tolerance)


def test_flicker_ratio__powers_joint_and_cap():
    r = np.array([10.0, 100.0, 500.0, 500.0001, 5e3, 5e4, 1e7])
    ratio = flicker_ratio(1.0 / r)
    assert ratio[1] / ratio[0] == pytest.approx(10**1.5, rel=1e-12)
    assert ratio[5] / ratio[4] == pytest.approx(10**0.75, rel=1e-12)
    assert ratio[3] == pytest.approx(ratio[2], rel=1e-6)
    assert ratio[6] == 0.1
    assert flicker_ratio(0.0) == 0.1


def test_flicker_ratio__cells_of_the_window_lie_near_what_silver_shows():
    """Published for silver filaments: 0.01 % to 1 %; weak cells are beyond the metallic range and noisier."""
    assert 1e-4 < flicker_ratio(50e-6) < 1e-2
    assert 1e-4 < flicker_ratio(1e-3) < 1e-2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: thermal_shot_density(1e-6, 0.0, 300.0), "v must not be 0 V, .* use cell_variance"),
        (lambda: thermal_shot_density(1e-6, 0.1, 0.0), "temperature must be > 0 K, got 0 K"),
        (lambda: flicker_ratio(-1e-6), "g must be ≥ 0 everywhere, got -1e-06"),
        (lambda: ReadNoise().cell_variance(1e-6, 0.1, 0.0), "t_read must be > 0 s, got 0 s"),
        (lambda: ReadNoise().cell_variance(1e-6, math.nan, 1e-8), "v must hold no nan"),
        (lambda: ReadNoise(observation_time=0), "observation_time must be > 0 s, got 0 s"),
        (lambda: ReadNoise(flicker=1), "flicker must be True or False, got 1"),
        (lambda: ReadNoise(reference_low=2e5), "reference_high must be > reference_low = 200000 Hz, got 100000 Hz"),
    ],
)
def test_noise__refuses_in_one_sentence(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
