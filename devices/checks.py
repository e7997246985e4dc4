"""Validators at the door: each returns the clean value or raises one sentence with name, value and what is right."""

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
    """Return `value` as a float; minimum and maximum belong to the range, above and below do not.

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
    """Return `value` as an int in [minimum, maximum]; a float is refused even when it is whole.

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
    """Return `value` as a C-contiguous float64 array (not copied when it is one already).

    shape: wanted shape, None for a free axis.  NaN is refused always, infinity unless finite=False.
    Raises ParameterError if value is not numeric or breaks a condition; the first bad element is named by its index.
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
    """Return `value` spread over `shape`, as a copy: one value, or two axes that are 1 or fit.

    axes: what the message calls them, as "(b, n)".
    Raises ParameterError if value is not finite and numeric or has another shape.
    """
    given = array(name, value)
    if given.ndim not in (0, 2) or any(mine not in (1, whole) for mine, whole in zip(given.shape, shape, strict=False)):
        raise ParameterError(f"{name} must be one value or spread over {axes} = {shape}, got shape {given.shape}")
    return np.broadcast_to(given, shape).copy()


def flags(name: str, value: object, shape: Sequence[int | None]) -> BoolArray:
    """Return an array of True and False, given as such or as 1 and 0; shape: wanted shape, None for a free axis.

    Raises ParameterError if value holds anything else or has another shape.
    """
    given = np.asarray(value)
    numbers = array(name, given.astype(np.float64) if given.dtype == np.bool_ else given, shape=shape)
    other = (numbers != 0.0) & (numbers != 1.0)
    if other.any():
        raise ParameterError(f"{name} must hold 0 and 1 only, got {numbers[other][0]:g} ({other.sum()} such)")
    result: BoolArray = numbers > 0.0
    return result


def quantity(default: float, unit: str = "", **bounds: float | bool) -> float:
    """Return a dataclass field with a default, a unit and the bounds of `number`; check_fields enforces them."""
    result: float = dataclasses.field(default=default, metadata={"unit": unit, **bounds})
    return result


def check_fields(value: object) -> None:
    """Check every `quantity` and bool of a frozen dataclass and store it as float or bool; for __post_init__.

    Raises ParameterError at the first field that breaks its bounds.
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
    """Tell in two passes whether all is well, the usual case."""
    low, high = float(values.min()), float(values.max())  # nan if any element is
    if math.isnan(low) or (finite and (math.isinf(low) or math.isinf(high))):
        return False
    return minimum is None or low >= minimum


def _refuse(name: str, values: FloatArray, bad: BoolArray, wanted: str) -> None:
    """Raise ParameterError that names the first bad element, if there is one."""
    if np.any(bad):
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f" at index {index}" if values.ndim else ""
        count = f" ({np.count_nonzero(bad)} of {values.size})" if values.ndim else ""
        raise ParameterError(f"{name} must {wanted}, got {values[index]:g}{where}{count}")


def _shown(value: object) -> str:
    """Short repr for messages."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def known(
    what: str, given: str, names: Iterable[str], *, where: str = "", prefix: str = "", otherwise: str = ""
) -> None:
    """Raise ParameterError unless `given` is one of the names; the sentence names the nearest of them, else all.

    what: the kind of name.  where: what stands before the sentence.  prefix: common to all names.  otherwise: what
    stands behind the sentence, such as another way to say it.
    """
    valid = sorted(set(names))
    if given in valid:
        return
    near = difflib.get_close_matches(given, valid, n=2, cutoff=0.5)
    hint = f"{'nearest valid: ' if near else 'valid are '}{', '.join(prefix + name for name in near or valid)}"
    start, end = f"{where}: " if where else "", f"; {otherwise}" if otherwise else ""
    raise ParameterError(f"{start}unknown {what} {prefix + given!r}; {hint}{end}")


def conductances(name: str, value: npt.ArrayLike, *, ndim: int = 2) -> FloatArray:
    """Return the conductances [S] of an array, or of several with ndim 3, as floats.

    Raises ParameterError unless they are numbers ≥ 0, with at least one row and one column.
    """
    g = array(name, value, ndim=ndim, minimum=0.0)
    if 0 in g.shape[-2:]:
        raise ParameterError(f"{name} must have at least one row and one column, got shape {g.shape}")
    return g
