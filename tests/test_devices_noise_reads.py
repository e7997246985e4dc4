"""Read noise: published laws and values, and agreement of spectrum, variance and trace."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.constants import e, k
from scipy.integrate import quad
from scipy.signal import welch

from devices import ParameterError, ReadNoise
from devices.constants import CONDUCTANCE_QUANTUM
from devices.noise.read_noise import flicker_ratio, thermal_shot_density
from devices.noise.traps import Traps

WHITE = ReadNoise(flicker=False)
PINK = ReadNoise(thermal_shot=False)
SWITCHING = ReadNoise(thermal_shot=False, flicker=False, telegraph=True)
EVERYTHING = ReadNoise(telegraph=True, observation_time=0.01)


def one_trap(t_empty, t_filled, size=1.0):
    """A single cell with one trap."""
    return Traps((), np.zeros(1, dtype=int), np.array([size]), np.array([t_empty]), np.array([t_filled]))


def sampled(numbers):
    """Relative tolerance of a variance of that many independent normal samples, at five sigma."""
    return 5.0 * math.sqrt(2.0 / numbers)


@given(log_g=st.floats(-9, -3), t=st.floats(4, 500))
def test_thermal_shot_density__thermal_at_small_and_shot_at_large_voltage(log_g, t):
    g = 10.0**log_g
    small, large = 1e-4 * k * t / e, 40 * k * t / e
    assert thermal_shot_density(g * small, small, t) == pytest.approx(4 * k * t * g, rel=1e-8, abs=0.0)
    assert thermal_shot_density(g * large, large, t) == pytest.approx(2 * e * g * large, rel=1e-12, abs=0.0)


@given(v=st.floats(1e-6, 1.0), t=st.floats(4, 500))
def test_thermal_shot_density__formula_sign_and_bounds(v, t):
    density = thermal_shot_density(1e-5 * v, v, t)
    assert density == pytest.approx(2 * e * 1e-5 * v / math.tanh(e * v / (2 * k * t)), rel=1e-12, abs=0.0)
    assert density == thermal_shot_density(-1e-5 * v, -v, t)
    thermal, shot = 4 * k * t * 1e-5, 2 * e * 1e-5 * v
    assert max(thermal, shot) * (1 - 1e-12) <= density < thermal + shot  # so the two must not be added


@pytest.mark.parametrize(("g", "ratio"), [(10e-6, 0.0041), (1e-6, 0.013), (50e-6, 0.0018)])
def test_cell_variance__published_figures_at_50_mhz(g, ratio):
    sigma = math.sqrt(WHITE.cell_variance(g, 0.1, t_read=1e-8))
    assert sigma / (g * 0.1) == pytest.approx(ratio, rel=0.02, abs=0.0)


def test_cell_variance__column_of_128_cells():
    variance = 128 * WHITE.cell_variance(10e-6, 0.05, t_read=1e-8)
    assert math.sqrt(variance) / (128 * 10e-6 * 0.05) == pytest.approx(0.0006, abs=5e-5)


def test_cell_variance__thermal_noise_stays_at_zero_volt():
    assert WHITE.cell_variance(1e-5, 0.0, 1e-8, 350.0) == pytest.approx(4 * k * 350.0 * 1e-5 * 5e7, rel=1e-14, abs=0.0)
    assert PINK.cell_variance(1e-5, 0.0, 1e-8) == 0.0


def test_cell_variance__longer_reads_are_quieter():
    times = np.logspace(-9, -3, 13)
    white = np.array([WHITE.cell_variance(1e-5, 0.1, t) for t in times])
    assert np.allclose(white * times, white[0] * times[0], rtol=1e-12, atol=0.0)
    pink = np.array([PINK.cell_variance(1e-5, 0.1, t) for t in times])
    steps = np.diff(pink)
    assert np.all(steps < 0)
    assert np.allclose(steps, steps[0], rtol=1e-9, atol=0.0)  # logarithmic


def test_cell_variance__over_the_reference_band_1_f_noise_is_the_measured_ratio():
    noise = ReadNoise(thermal_shot=False, observation_time=1.0)
    variance = noise.cell_variance(1e-5, 0.1, t_read=0.5e-5)  # 1 Hz to 100 kHz
    assert math.sqrt(variance) / 1e-6 == pytest.approx(flicker_ratio(1e-5), rel=1e-12, abs=0.0)


def test_cell_variance__no_1_f_noise_is_left_when_the_observation_is_one_read():
    assert ReadNoise(thermal_shot=False, observation_time=1e-8).cell_variance(1e-5, 0.1, 1e-8) == 0.0


def test_cell_variance__parts_add_and_none_is_silent(rng):
    g, v = rng.uniform(0, 5e-5, (6, 4)), rng.uniform(-0.2, 0.2, (6, 1))
    both = ReadNoise().cell_variance(g, v, 1e-8)
    assert np.allclose(both, WHITE.cell_variance(g, v, 1e-8) + PINK.cell_variance(g, v, 1e-8), rtol=1e-13, atol=0.0)
    assert np.array_equal(ReadNoise.none().cell_variance(g, v, 1e-8), np.zeros((6, 4)))


def test_cell_variance__a_column_is_two_matrix_products(rng):
    g, v = rng.uniform(0, 5e-5, (6, 4)), rng.uniform(-0.2, 0.2, (3, 6))
    noise = ReadNoise()
    products = noise.white_per_siemens(v, 1e-8) @ g + v**2 @ noise.flicker_squared(g, 1e-8)
    summed = noise.cell_variance(g, v[:, :, None], 1e-8).sum(axis=1)
    assert np.allclose(products, summed, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize(
    ("g", "ratio", "tolerance"),
    [(CONDUCTANCE_QUANTUM, 0.006, 5e-4), (50e-6, 0.008, 1e-4), (10e-6, 0.027, 5e-4), (1 / 500, 5e-4, 1e-12)],
)
def test_flicker_ratio__published_figures(g, ratio, tolerance):
    assert flicker_ratio(g) == pytest.approx(ratio, abs=tolerance)


def test_flicker_ratio__powers_joint_and_cap():
    r = np.array([10.0, 100.0, 500.0, 500.0001, 5e3, 5e4, 1e7])
    ratio = flicker_ratio(1.0 / r)
    assert ratio[1] / ratio[0] == pytest.approx(10**1.5, rel=1e-12, abs=0.0)
    assert ratio[5] / ratio[4] == pytest.approx(10**0.75, rel=1e-12, abs=0.0)
    assert ratio[3] == pytest.approx(ratio[2], rel=1e-6, abs=0.0)
    assert ratio[6] == 0.1
    assert flicker_ratio(0.0) == 0.1


def test_flicker_ratio__cells_of_the_window_lie_near_what_silver_shows():
    """Published for silver filaments: 0.01 % to 1 %; weak cells are beyond the metallic range and noisier."""
    assert 1e-4 < flicker_ratio(50e-6) < 1e-2
    assert 1e-4 < flicker_ratio(1e-3) < 1e-2


# spectra


def test_spectrum__white_noise_tends_to_4ktg_and_2qi_at_every_frequency():
    g, t, f = 2e-5, 320.0, np.array([0.0, 1.0, 1e9])
    assert np.allclose(WHITE.spectrum(f, g, 0.0, t), 4 * k * t * g, rtol=1e-12, atol=0.0)
    assert np.allclose(WHITE.spectrum(f, g, 2.0, t), 2 * e * g * 2.0, rtol=1e-12, atol=0.0)


def test_spectrum__silver_s_1_f_law_against_resistance():
    """Powers of the resistance and the range that Sánta et al. report, found again in the integrated spectrum."""
    r = np.logspace(0, 5, 26)
    noise = ReadNoise(thermal_shot=False)

    def per_ln(x, g):
        return math.exp(x) * noise.spectrum(math.exp(x), g, 1.0)

    sigma = np.array([math.sqrt(quad(per_ln, 0.0, math.log(1e5), args=(1 / each,))[0]) * each for each in r])
    power = np.diff(np.log(sigma)) / np.diff(np.log(r))
    assert np.allclose(power[r[1:] <= 500.0], 1.5, atol=1e-6)
    assert np.allclose(power[r[:-1] >= 500.0], 0.75, atol=1e-6)
    metallic = (r > 200.0) & (r < 2e4)
    assert np.all((sigma[metallic] > 1e-4) & (sigma[metallic] < 1e-2))


def test_spectrum__a_trap_is_a_lorentzian_with_its_corner():
    """Machlup's formula, written out with rates."""
    t_empty, t_filled, g, v = 2e-3, 5e-4, 1e-5, 0.1
    trap = one_trap(t_empty, t_filled)
    assert trap.corner == pytest.approx((1 / t_empty + 1 / t_filled) / (2 * math.pi), rel=1e-14, abs=0.0)
    step = 2.0 * flicker_ratio(g) * g * v
    f = np.array([0.0, 1.0, trap.corner[0], 1e4, 1e6])
    total = 1 / t_empty + 1 / t_filled
    expected = 4 * step**2 / (t_empty + t_filled) / (total**2 + (2 * math.pi * f) ** 2)
    found = SWITCHING.spectrum(f, g, v, traps=trap)
    assert np.allclose(found, expected, rtol=1e-12, atol=0.0)
    assert found[2] == pytest.approx(found[0] / 2, rel=1e-12, abs=0.0)
    assert found[4] / found[3] == pytest.approx(1e-4, rel=0.01, abs=0.0)  # 1/f² beyond the corner


def test_spectrum__traps_of_a_cell_add_and_stay_in_their_cell():
    traps = Traps((3,), np.array([0, 2, 2]), np.ones(3), np.array([1e-3, 1e-2, 1e-4]), np.array([1e-3, 1e-3, 1e-4]))
    f, g = np.array([[10.0], [1e3]]), np.array([1e-5, 2e-5, 3e-5])
    found = SWITCHING.spectrum(f, g, 0.1, traps=traps)
    single = [one_trap(a, b) for a, b in ((1e-3, 1e-3), (1e-2, 1e-3), (1e-4, 1e-4))]
    expected = [SWITCHING.spectrum(f[:, 0], g[i], 0.1, traps=trap) for i, trap in zip((0, 2, 2), single, strict=True)]
    assert np.allclose(found[:, 0], expected[0], rtol=1e-12, atol=0.0)
    assert np.array_equal(found[:, 1], [0.0, 0.0])
    assert np.allclose(found[:, 2], expected[1] + expected[2], rtol=1e-12, atol=0.0)


def test_telegraph__steps_grow_with_resistance_and_end_at_the_whole_current():
    trap = one_trap(1.0, 1.0, size=3.0)
    g = np.array([1e-2, 1e-3, 1e-5, 1e-9])
    steps = [float(trap.steps(SWITCHING.trap_ratio * flicker_ratio(each))[0]) for each in g]
    assert np.all(np.diff(steps) > 0)
    assert steps[2] == pytest.approx(6.0 * flicker_ratio(1e-5), rel=1e-12, abs=0.0)
    assert one_trap(1.0, 1.0, size=30.0).steps(0.2 * np.ones(()))[0] == 1.0


def test_draw_traps__numbers_steps_and_dwell_times_are_found_again(rng):
    traps = SWITCHING.draw_traps((1000, 100), rng)
    counts = np.bincount(traps.cell, minlength=100_000)
    assert counts.mean() == pytest.approx(0.1, abs=5 * math.sqrt(0.1 / 1e5))
    assert counts.var() == pytest.approx(0.1, rel=0.1, abs=0.0)  # Poisson
    n = traps.cell.size
    assert np.log(traps.size).std() == pytest.approx(0.8, rel=5 / math.sqrt(2 * n), abs=0.0)
    for dwell in (traps.t_empty, traps.t_filled):
        assert np.log(dwell / 1e-3).mean() == pytest.approx(0.0, abs=5 * 3.5 / math.sqrt(n))
        assert np.mean((dwell > 1e-6) & (dwell < 1.0)) == pytest.approx(0.95, abs=0.02)


def test_telegraph__the_mean_over_cells_is_the_mean_of_drawn_cells(rng):
    """Spectrum and variance of 20 000 cells with their own traps against the closed means."""
    noise = dataclasses.replace(SWITCHING, traps=3.0, dwell_ln_sigma=1.0, trap_ln_sigma=0.5)
    traps, g = noise.draw_traps((20_000,), rng), np.full(20_000, 1e-5)
    cells = noise.variance(g, 0.1, 10.0, 1e4, traps=traps)
    assert cells.mean() == pytest.approx(
        noise.variance(1e-5, 0.1, 10.0, 1e4), rel=5 * cells.std() / cells.mean() / 141, abs=0.0
    )
    step = 2.0 * flicker_ratio(1e-5) * np.exp(0.5 * rng.standard_normal(60_000)) * 1e-6
    empty, filled = 1e-3 * np.exp(rng.standard_normal((2, 60_000)))
    rate = 1 / empty + 1 / filled
    drawn = 3.0 * 4 * step**2 / (empty + filled) / (rate**2 + (2 * math.pi * 300.0) ** 2)
    assert noise.spectrum(300.0, 1e-5, 0.1) == pytest.approx(
        drawn.mean(), rel=5 * drawn.std() / drawn.mean() / 245, abs=0.0
    )


def test_telegraph__mean_step_with_its_cap(rng):
    noise = dataclasses.replace(SWITCHING, traps=1.0, trap_ln_sigma=0.8)
    typical = 2.0 * flicker_ratio(1e-9)  # 0.2: some steps would be more than the whole current
    drawn = np.minimum(typical * np.exp(0.8 * rng.standard_normal(1_000_000)), 1.0) ** 2
    whole = noise.variance(1e-9, 1.0, 0.0, 1e15) / 1e-18
    equal = dataclasses.replace(noise, trap_ln_sigma=0.0).variance(1e-9, 1.0, 0.0, 1e15) / 1e-18 / typical**2
    assert whole / equal == pytest.approx(drawn.mean(), rel=5 * drawn.std() / drawn.mean() / 1000, abs=0.0)


def test_telegraph__dwell_times_over_many_decades_look_like_1_f():
    f = np.logspace(1.5, 4, 11)
    density = SWITCHING.spectrum(f, 1e-5, 0.1)
    power = np.diff(np.log(density)) / np.diff(np.log(f))
    assert np.all((power > -1.4) & (power < -0.7))
    assert power.mean() == pytest.approx(-1.0, abs=0.05)


# the three descriptions agree


@pytest.mark.parametrize("traps", [None, one_trap(1e-3, 2e-4)], ids=["mean over cells", "one trap"])
@pytest.mark.parametrize("noise", [WHITE, PINK, SWITCHING, EVERYTHING], ids=["white", "1/f", "telegraph", "all"])
def test_variance__is_the_integral_of_the_spectrum(noise, traps):
    low, high = 200.0, 3e5

    def per_ln(x):
        return math.exp(x) * noise.spectrum(math.exp(x), 1e-5, 0.1, 310.0, traps)

    integral, _ = quad(per_ln, math.log(low), math.log(high), epsrel=1e-9)
    assert noise.variance(1e-5, 0.1, low, high, 310.0, traps) == pytest.approx(integral, rel=1e-7, abs=0.0)
    assert noise.sigma(1e-5, 0.1, low, high, 310.0, traps) == pytest.approx(math.sqrt(integral), rel=1e-7, abs=0.0)


def test_variance__a_read_is_the_band_from_the_observation_to_its_bandwidth():
    g, v = np.array([1e-6, 1e-5]), np.array([[0.05], [0.1]])
    noise = ReadNoise(telegraph=True)
    read = noise.cell_variance(g, v, 1e-6, 310.0)
    # white noise counts from 0 Hz in a read: 1 Hz of 500 kHz
    assert np.allclose(read, noise.variance(g, v, 1.0, 5e5, 310.0), rtol=3e-6, atol=0.0)


def test_telegraph__is_off_by_default_and_then_changes_nothing():
    on, off = ReadNoise(telegraph=True), ReadNoise()
    assert not off.telegraph
    g = np.array([1e-6, 1e-5, 5e-5])
    assert np.array_equal(off.proportional_squared(g, 1e-8), off.flicker_squared(g, 1e-8))
    assert np.all(on.proportional_squared(g, 1e-8) > off.proportional_squared(g, 1e-8))
    assert np.array_equal(off.telegraph_squared(g, 1e-8), np.zeros(3))


@pytest.mark.parametrize("noise", [WHITE, PINK, EVERYTHING], ids=["white", "1/f", "all"])
def test_trace__welch_s_spectrum_is_the_density(noise, rng):
    """A trap slow against dt, so that nothing of it is folded; 64 cells are averaged."""
    dt, steps, cells = 1e-5, 4096, 64
    traps = Traps((cells,), np.arange(cells), np.ones(cells), np.full(cells, 2e-3), np.full(cells, 1e-3))
    g = np.full(cells, 1e-6)
    trace = noise.trace(g, 0.1, dt, steps, rng, 310.0, traps)
    assert trace.shape == (cells, steps)
    f, density = welch(trace, 1 / dt, nperseg=1024, detrend=False)
    density = density.mean(axis=0)
    shown = (f > 400.0) & (f < 2e4)  # where neither the window nor folding colours it
    expected = noise.spectrum(f[shown], 1e-6, 0.1, 310.0, one_trap(2e-3, 1e-3))
    ratio = density[shown] / expected
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
    bands = np.array([part.mean() for part in np.array_split(ratio, 8)])
    assert np.all(np.abs(bands - 1.0) < 0.1)


def test_trace__variance_of_white_noise_is_that_of_its_bandwidth(rng):
    dt = 1e-8
    trace = WHITE.trace(1e-5, 0.1, dt, 100_000, rng)
    assert trace.var() == pytest.approx(WHITE.variance(1e-5, 0.1, 0.0, 0.5 / dt), rel=sampled(100_000), abs=0.0)


def test_trace__variance_of_1_f_noise_is_that_of_the_stated_band(rng):
    dt, steps, cells = 1e-4, 64, 40_000
    trace = PINK.trace(np.full(cells, 1e-5), 0.1, dt, steps, rng)
    expected = PINK.variance(1e-5, 0.1, 1 / (4 * steps * dt), 0.5 / dt)
    assert np.mean(trace**2) == pytest.approx(
        expected, rel=sampled(cells), abs=0.0
    )  # points of one trace hang together
    calm = ReadNoise(thermal_shot=False, observation_time=1e-3)
    trace = calm.trace(np.full(cells, 1e-5), 0.1, dt, steps, rng)
    assert np.mean(trace**2) == pytest.approx(calm.variance(1e-5, 0.1, 1e3, 0.5 / dt), rel=sampled(cells), abs=0.0)


def test_trace__variance_and_mean_of_telegraph_noise(rng):
    t_empty, t_filled, dt = 4e-4, 1e-4, 1e-5
    trace = SWITCHING.trace(1e-5, 0.1, dt, 200_000, rng, traps=one_trap(t_empty, t_filled))
    step = 2.0 * flicker_ratio(1e-5) * 1e-6
    assert np.allclose(np.unique(trace), [-0.8 * step, 0.2 * step], rtol=1e-9, atol=0.0)
    independent = 200_000 * dt / (2 * 8e-5)  # the correlation lasts 80 us
    assert np.mean(trace) == pytest.approx(0.0, abs=5 * 0.4 * step / math.sqrt(independent))
    assert np.mean(trace**2) == pytest.approx(
        SWITCHING.variance(1e-5, 0.1, 0.0, 1e15, traps=one_trap(t_empty, t_filled)),
        rel=10 / math.sqrt(independent),
        abs=0.0,
    )


def test_trace__dwell_times_are_exponential_with_their_means(rng):
    t_empty, t_filled, dt = 2e-3, 5e-4, 1e-5
    trace = SWITCHING.trace(1e-5, 0.1, dt, 1_000_000, rng, traps=one_trap(t_empty, t_filled))
    change = np.flatnonzero(np.diff(trace))
    lengths, high = np.diff(change) * dt, trace[change[:-1] + 1] > 0
    for dwell, mean in ((lengths[high], t_empty), (lengths[~high], t_filled)):
        assert dwell.mean() == pytest.approx(mean + dt / 2, rel=5 / math.sqrt(dwell.size), abs=0.0)
        assert dwell.std() / dwell.mean() == pytest.approx(1.0, rel=10 / math.sqrt(dwell.size), abs=0.0)


def test_trace__noises_draw_apart_and_seeds_repeat():
    g = np.array([1e-5, 2e-5])
    all_of_it = EVERYTHING.trace(g, 0.1, 1e-5, 50, np.random.default_rng(3))
    again = EVERYTHING.trace(g, 0.1, 1e-5, 50, np.random.default_rng(3))
    assert np.array_equal(all_of_it, again)
    parts = [
        dataclasses.replace(ReadNoise.none(), observation_time=0.01, **{name: True}).trace(
            g, 0.1, 1e-5, 50, np.random.default_rng(3)
        )
        for name in ("thermal_shot", "flicker", "telegraph")
    ]
    assert np.allclose(sum(parts), all_of_it, rtol=1e-9, atol=1e-18)
    assert np.array_equal(ReadNoise.none().trace(g, 0.1, 1e-5, 50, np.random.default_rng(3)), np.zeros((2, 50)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WHITE.spectrum(-1.0, 1e-5, 0.1), "f must be ≥ 0 everywhere, got -1"),
        (lambda: WHITE.variance(1e-5, 0.1, 10.0, 1.0), "high must be ≥ low = 10 Hz, got 1 Hz"),
        (lambda: WHITE.trace(1e-5, 0.1, 0.0, 5, np.random.default_rng()), "dt must be > 0 s, got 0 s"),
        (lambda: WHITE.trace(1e-5, 0.1, 1e-9, 0, np.random.default_rng()), "steps must be ≥ 1, got 0"),
        (lambda: WHITE.trace(1e-5, 0.1, 1e-9, 5, 3), "rng must be a numpy.random.Generator, got 3"),
        (lambda: ReadNoise(traps=-1), "traps must be ≥ 0, got -1"),
        (lambda: ReadNoise(dwell_median=0.0), "dwell_median must be > 0 s, got 0 s"),
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
