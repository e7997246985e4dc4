"""Validation of arguments: each function returns the checked value or raises ParameterError.

Every message is one sentence with the argument's name, its value and what would be valid.
"""

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import operator
from collections.abc import Callable, Iterable, Sequence
from types import UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from devices.aliases import BoolArray, FloatArray
from devices.errors import ParameterError

MOST_VOLTS = 1e60  # [V] ours: products of a few such values are still numbers of float64
MOST_AMPERES = 1e60  # [A] ours, for the same reason
LEAST_VOLTS = 1e-150  # [V] ours: I/v at a smaller voltage is its limit at 0 V to rounding, while the quotient is not
LEAST_SECONDS = 1e-30  # [s] of a read or a step, ours: its inverse is a bandwidth that can be squared
LEAST_KELVIN = 1e-6  # [K] ours: kT is a number of float64 whose inverse can be squared
MOST_ELEMENTS = 10**10  # of an array that is to be made, ours: 80 GB
PACKAGES = ("devices", "crossbar")  # whose classes `typed` looks at
MOST_BITS = 63  # of a whole number: what indices and counts of arrays hold
SEED_BITS = 64  # bits that a seed may have: one unsigned word


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
    try:
        result = float(value)
    except OverflowError:  # a whole number or a fraction beyond float64
        result = math.inf
        allow_inf = False
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


def positive(name: str, value: object, unit: str, least: float) -> float:
    """Return `value` as a float above 0 and not below `least`, the smallest one that can be computed with.

    Raises what `number` raises.
    """
    return number(name, number(name, value, unit=unit, above=0.0), unit=unit, minimum=least)


def whole(name: str, value: object, *, minimum: int, maximum: int | None = None, bits: int = MOST_BITS) -> int:
    """Return `value` as an int in [minimum, maximum]; floats are refused, also 2.0.

    bits: how many bits it may have at most.
    Raises ParameterError if value is not an integer or is out of bounds.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise ParameterError(f"{name} must be a whole number, got {_shown(value)}")
    result = int(value)
    if result.bit_length() > bits:
        raise ParameterError(f"{name} must be a whole number of at most {bits} bits, got {result.bit_length()} bits")
    if result < minimum or (maximum is not None and result > maximum):
        wanted = f"≥ {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ParameterError(f"{name} must be {wanted}, got {result}")
    return result


def seed(value: object, name: str = "seed") -> int:
    """Return a seed of random streams, an unsigned whole number of at most 64 bits.

    Raises ParameterError if value is not one.
    """
    return whole(name, value, minimum=0, bits=SEED_BITS)


def array(
    name: str,
    value: object,
    *,
    ndim: int | None = None,
    shape: Sequence[int | None] | None = None,
    minimum: float | None = None,
    finite: bool = True,
    largest: float = math.inf,
) -> FloatArray:
    """Return `value` as a C-contiguous float64 array that kernels know: aligned and writeable.

    It is not copied when it is one already.  shape: wanted shape, None for a free axis.  NaN is refused always,
    infinity unless finite=False.  largest: size that no finite value exceeds.
    Raises ParameterError if value is not numeric or breaks a condition; the first bad element is named by its index.
    """
    try:
        raw = np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        raise ParameterError(f"{name} must be a rectangular array of numbers, got {_shown(value)}") from None
    if np.ma.is_masked(value):  # their values behind the mask mean nothing
        raise ParameterError(f"{name} must have a value everywhere, got an array with masked elements")
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
    if not (result.flags.writeable and result.flags.aligned):  # a kernel would be compiled anew for its type
        result = result.copy()
    if result.size == 0 or _inside(result, minimum, finite=finite, largest=largest):
        return result
    _refuse(name, result, np.isnan(result), "hold no nan")
    if finite:
        _refuse(name, result, np.isinf(result), "be finite")
    if minimum is not None:
        _refuse(name, result, result < minimum, f"be ≥ {minimum:g} everywhere")
    _refuse(
        name, result, np.isfinite(result) & (np.abs(result) > largest), f"be at most {largest:g} in size everywhere"
    )
    return result


def voltages(
    name: str,
    value: object,
    *,
    ndim: int | None = None,
    shape: Sequence[int | None] | None = None,
    minimum: float | None = None,
) -> FloatArray:
    """Return voltages [V] as `array` does, none beyond MOST_VOLTS, where currents and energies are no numbers.

    Raises what `array` raises.
    """
    return array(name, value, ndim=ndim, shape=shape, minimum=minimum, largest=MOST_VOLTS)


def spread(name: str, value: object, shape: tuple[int, int], axes: str) -> FloatArray:
    """Return voltages `value` [V] spread over `shape`, as a copy: one value, or two axes that are 1 or fit.

    axes: name of the axes in the message, such as "(b, n)".
    Raises ParameterError if value is not finite and numeric, or has another shape.
    """
    given = voltages(name, value)
    if given.ndim not in (0, 2) or any(mine not in (1, whole) for mine, whole in zip(given.shape, shape, strict=False)):
        raise ParameterError(f"{name} must be one value or broadcast to {axes} = {shape}, got shape {given.shape}")
    return np.broadcast_to(given, shape).copy()


def broadcast_shape(**arrays: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return the shape to which arrays broadcast; they are named by the keywords.

    Raises ParameterError if they do not broadcast.
    """
    try:
        return np.broadcast_shapes(*(np.shape(a) for a in arrays.values()))
    except ValueError:
        shown = ", ".join(f"{name} {np.shape(a)}" for name, a in arrays.items())
        raise ParameterError(f"{' and '.join(arrays)} must have shapes that broadcast, got {shown}") from None


def finite(names: str, result: FloatArray) -> FloatArray:
    """Return the result of a computation; names: the arguments that it depends on.

    Raises ParameterError if it is not finite, that is if the arguments are beyond what float64 holds.
    """
    bad = ~np.isfinite(result)
    if bad.any():
        raise ParameterError(f"{names} must leave the result a finite number, but it is {np.ravel(result[bad])[0]:g}")
    return result


def sizes(name: str, value: object, *, least: int = 0, most: int | None = None) -> tuple[int, ...]:
    """Return the shape of an array as whole numbers; least, most: how many axes it has.

    Raises ParameterError.
    """
    if not isinstance(value, (tuple, list, np.ndarray)):
        raise ParameterError(f"{name} must be a tuple of whole numbers, got {_shown(value)}")
    if len(value) < least or (most is not None and len(value) > most):
        wanted = f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
        raise ParameterError(f"{name} must have {wanted} axes, got {_shown(value)}")
    out = tuple(whole(f"{name}[{axis}]", count, minimum=0) for axis, count in enumerate(value))
    if math.prod(out) > MOST_ELEMENTS:
        raise ParameterError(f"{name} must hold at most {MOST_ELEMENTS:g} elements, got {_shown(out)}")
    return out


def flags(name: str, value: object, shape: Sequence[int | None]) -> BoolArray:
    """Return a boolean array, given as True and False or as 1 and 0.

    shape: the required shape, None for an axis of any length.
    Raises ParameterError for any other element or another shape.
    """
    given = np.asarray(value) if isinstance(value, (np.ndarray, bool)) else array(name, _numbers(value))
    numbers = array(name, given.astype(np.float64) if given.dtype == np.bool_ else given, shape=shape)
    other = (numbers != 0.0) & (numbers != 1.0)
    if other.any():
        raise ParameterError(f"{name} must hold 0 and 1 only, got {numbers[other][0]:g} ({other.sum()} such)")
    result: BoolArray = numbers > 0.0
    return result


def _numbers(value: object) -> object:
    """Flags in lists as numbers, anything else as it is."""
    if isinstance(value, (list, tuple)):
        return [_numbers(each) for each in value]
    return float(value) if isinstance(value, (bool, np.bool_)) else value


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


def _inside(values: FloatArray, minimum: float | None, *, finite: bool, largest: float) -> bool:
    """Tell whether all values are valid, by their smallest and largest element alone."""
    low, high = float(values.min()), float(values.max())  # nan if any element is
    if not (abs(low) <= largest and abs(high) <= largest):
        return False
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
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        text = f"a value of type {type(value).__name__}"
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


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def typed(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a public function refuse arguments of another class than its annotations name, in one sentence.

    Annotations that name a class or a protocol of ours or numpy's Generator, also beside None, are looked at; numbers,
    arrays and text are not, as the other validators take them.
    """
    signature = inspect.signature(function)
    wanted: dict[str, tuple[type, bool]] = {}
    ready = False

    @functools.wraps(function)
    def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        nonlocal ready
        if not ready:
            wanted.update(classes_of(function))
            ready = True
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python's own sentence names the missing or unknown argument
        for name, (kind, optional) in wanted.items():
            if name in given and not (optional and given[name] is None):
                instance(name, given[name], kind)
        return function(*args, **kwargs)

    return checked


def instance(name: str, value: object, kind: type) -> None:
    """Refuse a value that is no `kind`; of a protocol, a value that lacks one of its members.

    Raises ParameterError.
    """
    if getattr(kind, "_is_protocol", False):
        fits = all(_has(value, member) for member in vars(kind) if not member.startswith("_"))
    else:
        fits = isinstance(value, kind)
    if not fits:
        article = "an" if kind.__name__[0] in "AEIO" else "a"
        raise ParameterError(f"{name} must be {article} {kind.__name__}, got {_shown(value)}")


def _has(value: object, member: str) -> bool:
    """Tell if a value has an attribute, without computing it where it is a property."""
    return hasattr(type(value), member) or hasattr(value, member)


def classes_of(function: Callable[..., Any]) -> dict[str, tuple[type, bool]]:
    """Return the parameters of a function that `typed` looks at: their class, and whether None is taken as well."""
    found = {}
    for name, hint in get_type_hints(function).items():
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        classes = [each for each in options if each is not type(None)]
        if name != "return" and len(classes) == 1 and isinstance(classes[0], type):
            kind = classes[0]
            if kind.__module__.partition(".")[0] in PACKAGES or kind is np.random.Generator:
                found[name] = (kind, len(classes) < len(options))
    return found
