"""Retention: written conductances after a time without voltage."""

import numpy as np
import numpy.typing as npt

from devices import checks
from devices.aliases import FloatArray
from devices.cells.adaptive import AdaptiveMemristor
from devices.writing.published_errors import DAY, LEAST_SIEMENS, neurram_error


@checks.typed
def retain(
    cell: AdaptiveMemristor,
    g_filament: npt.ArrayLike,
    ages: npt.ArrayLike,
    rng: np.random.Generator | None = None,
    *,
    temperature: float | None = None,
) -> FloatArray:
    """Return filament conductances (t, ...) [S] at ages (t,) [s] after writing, without voltage in between.

    Filaments dissolve according to the state equation of the nominal cell.  With rng, conductances also relax: each
    cell departs from its conductance by one normal number times a standard deviation.  This deviation grows with the
    logarithm of time up to that of NeuRRAM after one day, and then stays constant.
    Raises ParameterError for a wrong shape or value.
    Source: docs/equations/programming.md eq. 7-8.
    """
    g = checks.array("g_filament", g_filament, minimum=0.0)
    times = checks.array("ages", ages, ndim=1, minimum=0.0)
    state = cell.state(g)
    rest = g / cell.filament(state)  # outside the nominal window the ratio to the window's end is kept
    column = times.reshape(-1, *(1,) * g.ndim)
    kept: FloatArray = rest * cell.filament(cell.evolve(state, 0.0, 0.0, column, temperature=temperature))
    return kept if rng is None else relax(cell, g, kept, ages, rng)


@checks.typed
def relax(
    cell: AdaptiveMemristor,
    g_filament: npt.ArrayLike,
    kept: npt.ArrayLike,
    ages: npt.ArrayLike,
    rng: np.random.Generator,
) -> FloatArray:
    """Return filament conductances (t, ...) [S] that have relaxed at random since they were written.

    g_filament: (...) as written [S].  kept: (t, ...) what the state equation leaves of them at the ages (t,) [s].
    Raises ParameterError for a wrong shape or value.
    Source: docs/equations/programming.md eq. 8.
    """
    g = checks.array("g_filament", g_filament, minimum=0.0)
    times = checks.array("ages", ages, ndim=1, minimum=0.0)
    left = checks.array("kept", kept, shape=(len(times), *g.shape), minimum=0.0)
    column = times.reshape(-1, *(1,) * g.ndim)
    rest = g / cell.filament(cell.state(g))
    inside = np.minimum(g, cell.g_max)
    grown = neurram_error(inside, DAY, cell.g_max) ** 2 - neurram_error(inside, 1.0, cell.g_max) ** 2
    share = np.minimum(np.log1p(column) / np.log1p(DAY), 1.0)
    # below LEAST_SIEMENS a cell is open and has no relative departure
    departure = np.sqrt(share * np.maximum(grown, 0.0)) * rng.standard_normal(g.shape)
    moved = left * (1.0 + np.divide(departure, g, out=np.zeros_like(departure), where=g > LEAST_SIEMENS))
    held: FloatArray = np.maximum(moved, cell.g_min * np.minimum(rest, 1.0))
    return held
