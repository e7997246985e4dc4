"""Validation of arguments: each function returns the checked value or raises ParameterError.

Every message is one sentence with the argument's name, its value and what would be valid.
"""

import dataclasses
import difflib
import math
import numbers
import operator
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from devices.aliases import BoolArray, FloatArray
from devices.errors import ParameterError


def number(
    name: str,
    value: object,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    allow_inf: bool = False,
) -> float:
    """Return `value` as a float within bounds: minimum and maximum are inclusive, above and below exclusive.

    Raises ParameterError if value is not a real number, is NaN, is infinite without allow_inf, or is out of bounds.
    """
    of_unit = f" {unit}" if unit else ""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise ParameterError(f"{name} must be a real number{f' in {unit}' if unit else ''}, got {_shown(value)}")
    result = float(value)
    if math.isnan(result):
        raise ParameterError(f"{name} must be a real number{f' in {unit}' if unit else ''}, got nan")
    if math.isinf(result) and not allow_inf:
        raise ParameterError(f"{name} must be finite, got {result:g}{of_unit}")
    tests = [
        (minimum, operator.ge, "≥"),
        (above, operator.gt, ">"),
        (maximum, operator.le, "≤"),
        (below, operator.lt, "<"),
    ]
    bounds = [(bound, holds, sign) for bound, holds, sign in tests if bound is not None]
    if not all(holds(result, bound) for bound, holds, _ in bounds):
        wanted = [f"{sign} {bound:g}{of_unit}" for bound, _, sign in bounds]
        raise ParameterError(f"{name} must be {' and '.join(wanted)}, got {result:g}{of_unit}")
    return result


def whole(name: str, value: object, *, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an int in [minimum, maximum]; floats are refused, also 2.0.

    Raises ParameterError if value is not an integer or is out of bounds.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise ParameterError(f"{name} must be a whole number, got {_shown(value)}")
    result = int(value)
    if result < minimum or (maximum is not None and result > maximum):
        wanted = f"≥ {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ParameterError(f"{name} must be {wanted}, got {result}")
    return result


def array(
    name: str,
    value: object,
    *,
    ndim: int | None = None,
    shape: Sequence[int | None] | None = None,
    minimum: float | None = None,
    finite: bool = True,
) -> FloatArray:
    """Return `value` as a C-contiguous float64 array, without a copy if it is one already.

    shape: the required shape, None for an axis of any length.  NaN is always refused, infinity unless finite=False.
    Raises ParameterError if value is not numeric or violates a condition; the message gives the index of the first
    such element.
    """
    try:
        raw = np.asarray(value)
    except ValueError:
        raise ParameterError(f"{name} must be a rectangular array of numbers, got {_shown(value)}") from None
    if raw.dtype.kind not in "fiu":
        raise ParameterError(f"{name} must be an array of real numbers, got {_shown(value)} of type {raw.dtype}")
    if ndim is not None and raw.ndim != ndim:
        raise ParameterError(f"{name} must have {ndim} axes, got {raw.ndim} (shape {raw.shape})")
    if shape is not None:
        fits = len(shape) == raw.ndim and all(w is None or w == n for w, n in zip(shape, raw.shape, strict=True))
        if not fits:
            wanted = ", ".join("any" if w is None else str(w) for w in shape)
            raise ParameterError(f"{name} must have shape ({wanted}), got {raw.shape}")
    result: FloatArray = np.asarray(raw, dtype=np.float64, order="C")
    if result.size == 0 or _inside(result, minimum, finite=finite):
        return result
    _refuse(name, result, np.isnan(result), "hold no nan")
    if finite:
        _refuse(name, result, np.isinf(result), "be finite")
    if minimum is not None:
        _refuse(name, result, result < minimum, f"be ≥ {minimum:g} everywhere")
    return result


def spread(name: str, value: object, shape: tuple[int, int], axes: str) -> FloatArray:
    """Return a copy of `value` broadcast to `shape`; value is a scalar or has two axes of length 1 or as in `shape`.

    axes: name of the axes in the message, such as "(b, n)".
    Raises ParameterError if value is not finite and numeric, or has another shape.
    """
    given = array(name, value)
    if given.ndim not in (0, 2) or any(mine not in (1, whole) for mine, whole in zip(given.shape, shape, strict=False)):
        raise ParameterError(f"{name} must be one value or broadcast to {axes} = {shape}, got shape {given.shape}")
    return np.broadcast_to(given, shape).copy()


def flags(name: str, value: object, shape: Sequence[int | None]) -> BoolArray:
    """Return a boolean array, given as True and False or as 1 and 0.

    shape: the required shape, None for an axis of any length.
    Raises ParameterError for any other element or another shape.
    """
    given = np.asarray(value)
    numbers = array(name, given.astype(np.float64) if given.dtype == np.bool_ else given, shape=shape)
    other = (numbers != 0.0) & (numbers != 1.0)
    if other.any():
        raise ParameterError(f"{name} must hold 0 and 1 only, got {numbers[other][0]:g} ({other.sum()} such)")
    result: BoolArray = numbers > 0.0
    return result


def quantity(default: float, unit: str = "", **bounds: float | bool) -> float:
    """Return a dataclass field with a default value, a unit and bounds as in `number`; check_fields enforces them."""
    result: float = dataclasses.field(default=default, metadata={"unit": unit, **bounds})
    return result


def check_fields(value: object) -> None:
    """Check every `quantity` and bool of a frozen dataclass and store it as float or bool; call it in __post_init__.

    Raises ParameterError for the first field that violates its bounds.
    """
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        given = getattr(value, field.name)
        if "unit" in field.metadata:
            object.__setattr__(value, field.name, number(field.name, given, **field.metadata))
        elif field.type in {bool, "bool"}:
            if not isinstance(given, (bool, np.bool_)):
                raise ParameterError(f"{field.name} must be True or False, got {_shown(given)}")
            object.__setattr__(value, field.name, bool(given))


def _inside(values: FloatArray, minimum: float | None, *, finite: bool) -> bool:
    """Tell whether all values are valid, by their smallest and largest element alone."""
    low, high = float(values.min()), float(values.max())  # NaN if any element is NaN
    if math.isnan(low) or (finite and (math.isinf(low) or math.isinf(high))):
        return False
    return minimum is None or low >= minimum


def _refuse(name: str, values: FloatArray, bad: BoolArray, wanted: str) -> None:
    """Raise ParameterError with the first bad element, if there is one."""
    if np.any(bad):
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f" at index {index}" if values.ndim else ""
        count = f" ({np.count_nonzero(bad)} of {values.size})" if values.ndim else ""
        raise ParameterError(f"{name} must {wanted}, got {values[index]:g}{where}{count}")


def _shown(value: object) -> str:
    """Repr of a value for messages, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def known(
    what: str, given: str, names: Iterable[str], *, where: str = "", prefix: str = "", otherwise: str = ""
) -> None:
    """Raise ParameterError unless `given` is one of the names; the message suggests similar names, else lists all.

    what: the kind of name.  where: a location that begins the message.  prefix: a prefix of all names in the message.
    otherwise: an alternative that ends the message.
    """
    valid = sorted(set(names))
    if given in valid:
        return
    near = difflib.get_close_matches(given, valid, n=2, cutoff=0.5)
    hint = f"{'nearest valid: ' if near else 'valid are '}{', '.join(prefix + name for name in near or valid)}"
    start, end = f"{where}: " if where else "", f"; {otherwise}" if otherwise else ""
    raise ParameterError(f"{start}unknown {what} {prefix + given!r}; {hint}{end}")


def conductances(name: str, value: npt.ArrayLike, *, ndim: int = 2) -> FloatArray:
    """Return the conductances [S] of an array, or of several arrays with ndim 3, as float64.

    Raises ParameterError unless they are numbers ≥ 0, with at least one row and one column.
    """
    g = array(name, value, ndim=ndim, minimum=0.0)
    if 0 in g.shape[-2:]:
        raise ParameterError(f"{name} must have at least one row and one column, got shape {g.shape}")
    return g
