"""Physical bounds of the quantities of a chip description; a number outside them is a mistake and may overflow."""

import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError

#: smallest and largest magnitude by unit, ours: far beyond any array that was built; 0 and inf are not checked
BY_UNIT: Mapping[str, tuple[float, float]] = {
    "": (1e-12, 1e9),
    "V": (1e-6, 100.0),
    "eV": (1e-4, 10.0),
    "S": (1e-15, 1.0),
    "Ω": (1e-9, 1e9),
    "F/m²": (1e-6, 10.0),
    "1/m²": (1e10, 1e20),
    "m/s": (1e-12, 3e8),
    "A": (1e-15, 10.0),
    "V/m": (1.0, 1e13),
    "K/W": (1e-3, 1e12),
    "1/s": (1e-30, 1e13),
    "s": (1e-15, 1e12),
    "K": (1.0, 2000.0),
    "1/K": (1e-9, 0.1),
    "Hz": (1e-9, 1e13),
    "m": (1e-13, 1e-2),
    "F/m": (1e-15, 1e-6),
    "J": (1e-21, 1e-3),
    "F": (1e-18, 1e-9),
    "W/m²": (1e-9, 1e9),
}
#: the same by key; it replaces that of the unit
BY_KEY: Mapping[str, tuple[float, float]] = {
    "adc.comparator_noise": (1e-9, 1.0),
    "adc.dnl": (1e-9, 100.0),
    "adc.inl": (1e-9, 100.0),
    "adc.margin": (1e-3, 1e3),
    "adc.offset": (1e-9, 1e4),
    "cell.g_gate_leak": (1e-24, 1.0),
    "cell.ideality": (0.1, 100.0),
    "cell.v_fermi": (1e4, 3e8),
    "cell.v_0": (1e-3, 100.0),
    "costs.node": (1e-9, 1e-5),
    "costs.pitch": (1e-9, 1e-3),
    "dac.v_read": (1e-4, 10.0),
    "gate_dac.r_relative": (1e-6, 1e9),
    "retention.images": (1e-9, 1e18),
    "retention.refresh_images": (1e-3, 1e18),
    "spread.cycle_high_cv": (1e-9, 10.0),
    "spread.cycle_low_ln_sigma": (1e-9, 5.0),
    "spread.window_high_cv": (1e-9, 10.0),
    "spread.window_low_ln_sigma": (1e-9, 5.0),
    "wires.r_column": (1e-9, 1e5),
    "wires.r_row": (1e-9, 1e5),
}


def unit_of(section: str, field: "dataclasses.Field[object]") -> str:
    """Return the unit of a field, "" if it has none; all numbers of the wires are resistances."""
    return "Ω" if section == "wires" else str(field.metadata.get("unit", ""))


def check_bounds(description: object) -> None:
    """Check every finite number of a description, a dataclass whose fields are its sections, against its bounds.

    Raises ParameterError for the first number outside, with its key and unit.
    """
    for section, field, value in _numbers(description):
        key, unit = f"{section}.{field.name}", unit_of(section, field)
        low, high = BY_KEY.get(key) or BY_UNIT.get(unit, (0.0, math.inf))
        magnitude = np.abs(value[np.isfinite(value) & (value != 0.0)])
        wrong = magnitude[(magnitude < low) | (magnitude > high)]
        if wrong.size:
            of_unit = f" {unit}" if unit else ""
            raise ParameterError(
                f"{key} must be 0 or have a magnitude from {low:g} to {high:g}{of_unit}, got {wrong[0]:g}{of_unit}"
            )


def _numbers(description: object) -> Iterator[tuple[str, "dataclasses.Field[object]", FloatArray]]:
    """Yield section, field and values of every quantity."""
    for section in dataclasses.fields(description):  # type: ignore[arg-type]
        part = getattr(description, section.name)
        if not dataclasses.is_dataclass(part):
            continue
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if isinstance(value, (float, np.ndarray)):
                yield section.name, field, np.atleast_1d(np.asarray(value, dtype=np.float64))
