"""What measured points say of a law: residuals of readings and of points at a limit, noise, patterns, likelihood."""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr

from devices.aliases import BoolArray, FloatArray, IntArray

FAR = -30.0  # standard deviations below a limit from which on the hazard is the distance, to 1e-3


def residuals_of(
    predicted: FloatArray, current: FloatArray, sigma: FloatArray, measured: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return the residuals (n,) of predicted currents [A], and their derivatives by the residual of a reading.

    A current at a limit, which is no reading of the cell's own, says that this is at least that.
    Source: docs/equations/fitting.md eq. 1 and 7.
    """
    residuals = (predicted - current) / sigma
    factors = np.ones_like(residuals)
    if measured.all():
        return residuals, factors
    held = ~measured
    sign = np.sign(current[held])
    above = sign * residuals[held]
    log_part = log_ndtr(above)
    size = np.sqrt(-2.0 * log_part)
    near = np.maximum(above, FAR)  # further below, the hazard is the distance
    hazard = np.where(above < FAR, -above, np.exp(-0.5 * near**2 - log_ndtr(near)) / math.sqrt(2.0 * math.pi))
    residuals[held] = size
    factors[held] = -sign * np.divide(hazard, size, out=np.zeros_like(size), where=size > 1e-150)
    return residuals, factors


def pattern_of(residuals: FloatArray, sweep: IntArray, measured: BoolArray) -> float:
    """Return the correlation of neighbouring residuals (n,) of a sweep, 0 for noise alone."""
    pairs = np.flatnonzero((np.diff(sweep) == 0) & measured[1:] & measured[:-1])
    spread = float(np.mean(residuals[measured] ** 2))
    return float(np.mean(residuals[pairs] * residuals[pairs + 1])) / spread if pairs.size and spread > 0.0 else 0.0


def log_likelihood(predicted: FloatArray, current: FloatArray, sigma: FloatArray, measured: BoolArray) -> float:
    """Return the logarithm of the likelihood of points (n,) with normal noise sigma [A]."""
    squares = float(np.sum(residuals_of(predicted, current, sigma, measured)[0] ** 2))
    return -0.5 * squares - float(np.sum(np.log(sigma[measured] * math.sqrt(2.0 * math.pi))))


def estimate_noise(predicted: FloatArray, left: FloatArray) -> tuple[float, float]:
    """Return the relative noise and the floor [A] that make residuals likeliest, if they are normal.

    For a given ratio of the two the likeliest scale is a mean, so one unknown is left.
    Source: docs/equations/fitting.md eq. 3.
    """
    size = np.abs(predicted)
    typical = max(float(np.median(size)), 1e-30)

    def scaled(log_ratio: float) -> tuple[float, FloatArray]:
        shape: FloatArray = size**2 + (typical * math.exp(log_ratio)) ** 2
        return float(np.mean(left**2 / shape)), shape

    def cost(log_ratio: float) -> float:
        scale, shape = scaled(log_ratio)
        return float(np.mean(np.log(shape))) + math.log(max(scale, 1e-60))

    grid = np.linspace(math.log(1e-9), math.log(1e5), 60)
    best = int(np.argmin([cost(float(at)) for at in grid]))
    ends = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)]))
    log_ratio = float(minimize_scalar(cost, bounds=ends, method="bounded").x)
    relative = math.sqrt(max(scaled(log_ratio)[0], 1e-24))
    return relative, relative * typical * math.exp(log_ratio)
