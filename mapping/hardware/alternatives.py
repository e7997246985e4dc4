"""Named alternatives of a chip description: one deviation switched off, or one compensation left out.

A diagnosis runs them beside the chip itself: what an alternative gains or loses is what its deviation costs, or what
its compensation makes up for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapping.hardware.description import Hardware


@dataclass(frozen=True)
class Alternative:
    """A chip description that differs from another in one respect."""

    name: str  #: of what is switched off
    settings: tuple[str, ...]  #: KEY=VALUE settings that switch it off
    hardware: Hardware

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys to change."""
        return tuple(each.partition("=")[0] for each in self.settings)


#: deviations of a chip from the exact network, and the settings that switch each off alone
DEVIATIONS: dict[str, tuple[str, ...]] = {
    "wires (IR drop)": ("wires.r_row=0", "wires.r_column=0", "wires.r_driver=0", "wires.r_sense=0"),
    "levels of the cells": ("tile.slices=1", "tile.levels=ideal"),
    "write errors": (
        "tile.write=drawn", "spread.write_error=0", "spread.cycle_low_ln_sigma=0", "spread.cycle_high_cv=0",
    ),
    "variability of the window": ("spread.window_low_ln_sigma=0", "spread.window_high_cv=0"),
    "stuck cells": ("spread.stuck_on=0", "spread.stuck_off=0", "tile.stuck_missed=0"),
    "offsets of gates": ("spread.gate_offset_line=0", "spread.gate_offset_cell=0"),
    "sag of gate lines": ("cell.g_gate_leak=0",),
    "bits of gate drivers": ("gate_dac.bits=ideal",),
    "bits of row drivers": ("dac.bits=ideal",),
    "bits and offsets of converters": ("adc.bits=ideal", "adc.offset=0"),
    "errors of converters": (
        "adc.gain_error=0", "adc.inl=0", "adc.dnl=0", "adc.c_sample=0", "adc.comparator_noise=0",
    ),
    "gains of row drivers": ("dac.gain_error=0",),
    "common sense inputs": ("tile.r_join=ideal",),
    "read noise": ("noise.thermal_shot=false", "noise.flicker=false", "noise.telegraph=false"),
    "curves of the cells": ("cell.v_0=inf", "cell.r_series=0", "cell.g_leak=0"),
    "reads since writing": ("retention.images=0", "retention.rate=0"),
    "age": ("retention.age=0",),
    "temperature of the run": ("retention.run_temperature=0",),
}  # fmt: skip

#: what the compiler makes up for, and the settings that leave each out
COMPENSATIONS: dict[str, tuple[str, ...]] = {
    "wires": ("tile.compensate_wires=false",),
    "stuck cells": ("tile.trim_pairs=false", "tile.compensate_stuck=false"),
    "scale and shift of outputs": ("tile.adjust_outputs=false",),
}


MISSING = object()
LEAST_SAG = 1e-6  # [V] as mapping.placement.gate_lines.NEGLIGIBLE, below which a run leaves the sag out
GATES = frozenset(
    {"offsets of gates", "sag of gate lines", "bits of gate drivers"}
)  #: deviations without effect where no gate is set


def deviations(hardware: Hardware, *, gated: bool = True) -> tuple[Alternative, ...]:
    """Return an alternative for each deviation that a chip has, with this deviation off.

    gated: whether gates set read gains in the run; without them the deviations of gates have no effect.
    """
    names = [name for name in DEVIATIONS if gated or name not in GATES]
    if not _may_sag(hardware):
        names = [name for name in names if name != "sag of gate lines"]
    return _alternatives(hardware, {name: DEVIATIONS[name] for name in names})


def _may_sag(hardware: Hardware) -> bool:
    """Return whether the gate lines of a full array can sag by LEAST_SAG: the leakage of all its gates at one end."""
    inner = getattr(hardware.cell, "cell", hardware.cell)  # a selector is in series with the cell, not with its gate
    tile, wires = hardware.tile, hardware.wires_in_use
    ends = np.atleast_1d(wires.r_driver)
    along, across = wires.mean_segments(tile.rows, tile.columns)
    path = float(ends[np.isfinite(ends)].max(initial=0.0)) + along * tile.columns + across * tile.rows
    leak = float(getattr(inner, "g_gate_leak", 0.0)) * tile.rows * tile.columns
    volts = max(abs(float(getattr(inner, each, 0.0))) for each in ("v_gate_min", "v_gate_max"))
    return leak * path * hardware.gate_dac.r_relative * volts >= LEAST_SAG


def without_deviations(hardware: Hardware, off: Iterable[Alternative]) -> Hardware:
    """Return a chip without any of these deviations."""
    return hardware.with_values(dict.fromkeys(setting for each in off for setting in each.settings))


def compensations(hardware: Hardware) -> tuple[Alternative, ...]:
    """Return an alternative for each compensation that is on and has something to make up for, without it."""
    wires, spread = hardware.wires, hardware.spread
    needed = {
        "wires": not wires.ideal,
        "stuck cells": spread.stuck_on + spread.stuck_off > 0.0,
    }
    return _alternatives(hardware, {name: each for name, each in COMPENSATIONS.items() if needed.get(name, True)})


def _alternatives(hardware: Hardware, table: Mapping[str, tuple[str, ...]]) -> tuple[Alternative, ...]:
    """Return those alternatives that differ from the description, with the settings that make the difference."""
    found = []
    for name, settings in table.items():
        if "dac.bits=ideal" in settings and hardware.dac.coding == "bit-serial":  # there is no bit to send
            settings = ("dac.coding=pulse-width", *settings)  # noqa: PLW2901
        if "adc.bits=ideal" in settings and hardware.adc.curved:  # a continuous converter has no thresholds to move
            settings = (*settings, "adc.inl=0", "adc.dnl=0")  # noqa: PLW2901
        settings = tuple(each for each in settings if _value(hardware, each) is not MISSING)  # noqa: PLW2901
        other = hardware.with_values(settings)
        needed = tuple(each for each in settings if not np.array_equal(_value(hardware, each), _value(other, each)))
        if needed:
            found.append(Alternative(name, needed, hardware.with_values(needed)))
    return tuple(found)


def _value(hardware: Hardware, setting: str) -> Any:  # noqa: ANN401  (of any key)
    """Return the value that a description has for the key of a setting, MISSING if its cells lack the key.

    It is an array where a chip has a resistance for each segment.
    """
    section, _, key = setting.partition("=")[0].partition(".")
    return getattr(getattr(hardware, section), key, MISSING)
