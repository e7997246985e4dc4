"""Preset cells: each function returns a cell and states the source of its parameters."""

import math
from collections.abc import Callable

from devices.cells.adaptive import AdaptiveMemristor
from devices.cells.interface import Cell
from devices.cells.ohmic import Resistor
from devices.cells.published import StanfordPku, Vteam
from devices.cells.selected import SelectedCell


def adaptive_2d() -> AdaptiveMemristor:
    """Return the gated silver-filament cell that keeps its state for years.

    Source: ours, after published devices of the same family (docs/equations/cells.md, section 6).
    """
    return AdaptiveMemristor()


def adaptive_2d_volatile() -> AdaptiveMemristor:
    """Return the same cell with thin filaments that dissolve within a second.

    Source: ours; silver in h-BN and a-Si forms stable and volatile filaments, ACS Nano 2024, doi
    10.1021/acsnano.3c10068.
    """
    return AdaptiveMemristor(lifetime=1.0)


def ideal_adaptive() -> AdaptiveMemristor:
    """Return an ideal multiplier, current = gain x conductance x voltage, without curvature, series R or leakage."""
    return AdaptiveMemristor(v_0=math.inf, r_series=0.0, g_leak=0.0)


def two_terminal() -> AdaptiveMemristor:
    """Return the same filament cell without a gate: the gate changes neither the read gain nor the growth."""
    return AdaptiveMemristor(gain_min=1.0, beta=0.0)


def resistor() -> Resistor:
    """Return a programmable resistor with the same conductance window."""
    return Resistor()


def vteam() -> Vteam:
    """Return VTEAM with the default parameters of public implementations: 50 ohm to 1 kohm.

    Source: defaults of MemTorch (coreylammie/MemTorch, VTEAM.py), which follow the authors' published code; they were
    not compared with the tables of the article.
    """
    return Vteam()


def stanford_pku() -> StanfordPku:
    """Return the Stanford-PKU cell with the defaults of its published code, version 1.0.0: 0.56 to 225 kohm.

    Source: doi 10.4231/D37H1DN48 (nanoHUB), read in a public transcription; r_series = 0 is ours.
    """
    return StanfordPku()


def stanford_asu() -> StanfordPku:
    """Return the same model with the parameters of the Stanford-ASU code for a 5 nm oxide: 10 kohm to 3.4 Mohm.

    Source: the Verilog-A code of Chen and Yu, IEEE Trans. Electron Devices 62, 4022 (2015), read in a public
    transcription; r_thermal is its 0.23 ns / 0.31825 fJ/K.  That code has two activation energies, 1.501 and 1.5 eV,
    and a difference of two exponentials in place of sinh.  Here both energies are 1.5 eV, the velocity is doubled, and
    field_min is 0, as that code has no minimum field.
    """
    return StanfordPku(
        i_0=6.14e-5, g_0=2.7505e-10, v_0=0.43, gap_min=0.1e-9, gap_max=1.7e-9, velocity=300.0, e_activation=1.5,
        gamma_0=16.5, beta=1.25, thickness=5e-9, field_min=0.0, r_thermal=2.3e-10 / 3.1825e-16,
    )  # fmt: skip


def selected_2d() -> SelectedCell:
    """Return the gated silver-filament cell in series with a silver threshold switch; read it above 0.2 V.

    Source: SelectedCell; the combination and its voltages are ours.
    """
    return SelectedCell(adaptive_2d())


def selected_two_terminal() -> SelectedCell:
    """Return the cell without a gate in series with the same threshold switch (1S1R).

    Source: as selected_2d.
    """
    return SelectedCell(two_terminal())


PRESETS: dict[str, Callable[[], Cell]] = {
    function.__name__: function
    for function in (
        adaptive_2d, adaptive_2d_volatile, ideal_adaptive, two_terminal, resistor,
        vteam, stanford_pku, stanford_asu, selected_2d, selected_two_terminal,
    )
}  # fmt: skip
