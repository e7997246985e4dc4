"""Ready cells, each a function that returns a fresh value; none is a fit to a published device."""

import math
from collections.abc import Callable

from devices.cells import AdaptiveMemristor, Resistor


def adaptive_2d() -> AdaptiveMemristor:
    """Return the gated silver-filament cell that keeps its state for years.

    Source: ours, anchored to published relatives (docs/equations/cells.md, section 7).
    """
    return AdaptiveMemristor()


def adaptive_2d_volatile() -> AdaptiveMemristor:
    """Return the same cell with thin filaments that dissolve within a second.

    Source: ours; silver in h-BN and a-Si shows both kinds, ACS Nano 2024, doi 10.1021/acsnano.3c10068.
    """
    return AdaptiveMemristor(lifetime=1.0)


def ideal_adaptive() -> AdaptiveMemristor:
    """Return an exact multiplier: current = gain x filament conductance x voltage; no curvature, series part, leak."""
    return AdaptiveMemristor(v_0=math.inf, r_series=0.0, g_leak=0.0)


def two_terminal() -> AdaptiveMemristor:
    """Return the same filament cell without a gate: gain 1 at every gate voltage, no gate action on growth."""
    return AdaptiveMemristor(gain_min=1.0, beta=0.0)


def resistor() -> Resistor:
    """Return a programmable resistor with the same window and nothing else."""
    return Resistor()


PRESETS: dict[str, Callable[[], AdaptiveMemristor | Resistor]] = {
    function.__name__: function
    for function in (adaptive_2d, adaptive_2d_volatile, ideal_adaptive, two_terminal, resistor)
}
