"""Dispatch of current-voltage laws by the type of their parameters.

A law consists of a NamedTuple of floats, a gain kernel (law, v_gate) and a current kernel (law, g_filament, gain, v);
`register` connects them.  A solver calls law_gain, gated_current or cell_current, or fill_currents for many cells at
once.  numba compiles and caches one version of a solver for each type of law.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import types
from numba.extending import overload

from devices.aliases import FloatArray
from devices.checks import MOST_VOLTS, finite, number
from devices.errors import ParameterError
from devices.numerics.jit import kernel

Function = TypeVar("Function", bound=Callable[..., Any])

_gains: dict[type, Callable[[Any, float], float]] = {}
_currents: dict[type, Callable[[Any, float, float, float], tuple[float, float]]] = {}
_fills: dict[type, Callable[[Any, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], None]] = {}


Law = tuple[Any, ...]  # any registered NamedTuple


def register(
    law: type,
    gain: Callable[[Any, float], float],
    current: Callable[[Any, float, float, float], tuple[float, float]],
    fill: Callable[[Any, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], None] | None = None,
) -> None:
    """Register a law type with its gain kernel (law, v_gate) and its current kernel (law, g_filament, gain, v).

    fill: a kernel with the arguments of fill_currents, for laws that compute whole arrays faster than cell by cell.
    """
    _gains[law] = gain
    _currents[law] = current
    _fills[law] = one_by_one if fill is None else fill


@kernel
def one_by_one(
    law: Any, g_filament: FloatArray, gain: FloatArray, v: FloatArray, current: FloatArray, slope: FloatArray  # noqa: ANN401
) -> None:  # fmt: skip
    """Fill currents [A] and slopes [S] of flat arrays cell by cell."""
    for i in range(v.size):
        current[i], slope[i] = gated_current(law, g_filament[i], gain[i], v[i])


def law_gain(law: Any, v_gate: float) -> float:  # noqa: ANN401 - any registered law
    """Return the read gain of a law at a gate voltage [V]; in kernels and in Python."""
    return _registered(_gains, law)(law, v_gate)


def gated_current(law: Any, g_filament: float, gain: float, v: float) -> tuple[float, float]:  # noqa: ANN401 - as above
    """Return current [A] and slope dI/dv [S] at cell voltage v [V] and a known read gain; in kernels and in Python."""
    return _registered(_currents, law)(law, g_filament, gain, v)


def fill_currents(
    law: Any, g_filament: FloatArray, gain: FloatArray, v: FloatArray, current: FloatArray, slope: FloatArray  # noqa: ANN401
) -> None:  # fmt: skip
    """Fill `current` [A] and `slope` [S] of cells at known read gains, flat arrays of one length; also in kernels."""
    _registered(_fills, law)(law, g_filament, gain, v, current, slope)


def cell_current(law: Any, g_filament: float, v: float, v_gate: float) -> tuple[float, float]:  # noqa: ANN401 - as above
    """Return current [A] and slope dI/dv [S] at cell and gate voltage [V]; in kernels and in Python.

    A solver that uses one gate voltage many times should call law_gain once and then gated_current.
    Raises ParameterError, in Python, for anything that is no number or a law that is not registered.
    """
    g_filament = number("g_filament", g_filament, unit="S", minimum=0.0)
    v, v_gate = (
        number(name, value, unit="V", minimum=-MOST_VOLTS, maximum=MOST_VOLTS)
        for name, value in (("v", v), ("v_gate", v_gate))
    )
    current, slope = gated_current(law, g_filament, law_gain(law, v_gate), v)
    finite("g_filament, v and v_gate", np.array([current, slope]))
    return current, slope


def _registered(kernels: dict[type, Function], law: object) -> Function:
    """Return the kernel of a law; raise ParameterError if its type is not registered."""
    if type(law) not in kernels:
        known = ", ".join(kind.__name__ for kind in kernels)
        raise ParameterError(f"law must be one of {known}, got {law!r}")
    return kernels[type(law)]


def _law_type(law: types.Type) -> Any:  # noqa: ANN401 - None if it is no NamedTuple
    """Return the NamedTuple class behind a numba type."""
    return getattr(law, "instance_class", None)


def _compiled_gain(law: types.Type) -> Callable[[Any, float], float] | None:
    """Return the implementation of law_gain for this type of law."""
    chosen = _gains.get(_law_type(law))
    return None if chosen is None else lambda law, v_gate: chosen(law, v_gate)  # noqa: PLW0108 - numba wants a plain function


def _compiled_current(law: types.Type) -> Callable[[Any, float, float, float], tuple[float, float]] | None:
    """Return the implementation of gated_current for this type of law."""
    chosen = _currents.get(_law_type(law))
    return None if chosen is None else lambda law, g_filament, gain, v: chosen(law, g_filament, gain, v)  # noqa: PLW0108


def _compiled_fill(law: types.Type) -> Callable[..., None] | None:
    """Return the implementation of fill_currents for this type of law."""
    chosen = _fills.get(_law_type(law))
    if chosen is None:
        return None
    return lambda law, g_filament, gain, v, current, slope: chosen(law, g_filament, gain, v, current, slope)  # noqa: PLW0108


# numba requires the same argument names, without annotations, in both functions: hence lambdas
overload(law_gain)(lambda law, v_gate: _compiled_gain(law))
overload(gated_current)(lambda law, g_filament, gain, v: _compiled_current(law))
overload(fill_currents)(lambda law, g_filament, gain, v, current, slope: _compiled_fill(law))
overload(cell_current)(
    lambda law, g_filament, v, v_gate: (
        lambda law, g_filament, v, v_gate: gated_current(law, g_filament, law_gain(law, v_gate), v)
    )
)


@kernel
def currents(law: Any, g_filament: FloatArray, gain: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:  # noqa: ANN401
    """Return current [A] and slope [S] of each element of flat arrays of one length."""
    current, slope = np.empty_like(v), np.empty_like(v)
    fill_currents(law, g_filament, gain, v, current, slope)
    return current, slope
