"""Vectors of float64 in registers, for kernels that compute several circuits or cells at the same time.

Inside a kernel, ``load`` and ``broadcast`` make a Vector of 4 and ``load_wide`` a Vector of 8.  Arithmetic, comparisons
and the functions below work lane by lane on Vectors, on a Vector and a number, and on numbers alone, so that one
function is both the vector code and the scalar code.  Comparisons of Vectors give a Mask.  Compilers vectorise only
innermost loops; with explicit lanes, blocks of results can stay in registers over a whole sum.  Arrays are contiguous
float64; indices are not checked against their bounds.
"""

# numba passes objects of its own types to intrinsics:
# ruff: noqa: ANN401
# mypy: disable-error-code="misc, untyped-decorator"

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 4
WIDE = 8

_double = ir.DoubleType()
_long = ir.IntType(64)


class VectorType(types.Type):
    """Numba's type of a vector of float64 lanes."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Vector{lanes}")


class MaskType(types.Type):
    """Numba's type of a vector of truth values, one for each lane."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Mask{lanes}")


vector, wide = VectorType(LANES), VectorType(WIDE)
Vector = Any  #: annotation of a vector of float64
Mask = Any  #: annotation of a vector of truth values


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end_type: VectorType) -> None:
        super().__init__(manager, front_end_type, ir.VectorType(_double, front_end_type.lanes))


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end_type: MaskType) -> None:
        super().__init__(manager, front_end_type, ir.VectorType(ir.IntType(1), front_end_type.lanes))


def _pointer(context: Any, builder: Any, array_type: Any, place: Any, lanes: int) -> Any:
    """Return the address of `lanes` elements of an array; place is the pair (array, index)."""
    array, index = place
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(_double, lanes).as_pointer())


def _loader(kind: VectorType) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], arguments, kind.lanes), align=8)

    return build


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Return array[index : index + 4] as a Vector."""
    return vector(array, types.intp), _loader(vector)


@intrinsic
def load_wide(typing_context: Any, array: Any, index: Any) -> Any:
    """Return array[index : index + 8] as a Vector."""
    return wide(array, types.intp), _loader(wide)


@intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write the lanes of a Vector into an array, starting at `index`."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _pointer(context, builder, signature.args[0], arguments[:2], signature.args[2].lanes)
        builder.store(arguments[2], where, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), build


def _filled(builder: Any, number: Any, lanes: int) -> Any:
    """Return a vector with one number in all lanes."""
    kind = ir.VectorType(number.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        one, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    )


@intrinsic
def broadcast(typing_context: Any, number: Any) -> Any:
    """Return a Vector of 4 with one number in all lanes."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _filled(builder, arguments[0], LANES)

    return vector(types.float64), build


def _constant(like: Any, number: float) -> Any:
    """Return a number as a constant of an LLVM type, a double or a vector of them."""
    return ir.Constant(like, [number] * like.count if isinstance(like, ir.VectorType) else number)


def _joined(kinds: Any) -> Any:
    """Return the result type of an operation on numbers and Vectors, or None if they cannot be combined."""
    lanes = {kind.lanes for kind in kinds if isinstance(kind, VectorType)}
    if len(lanes) > 1 or not all(isinstance(kind, (VectorType, types.Float)) for kind in kinds):
        return None
    return VectorType(lanes.pop()) if lanes else types.float64


def _lanewise(
    symbol: Any, arguments: int, build: Callable[..., Any], *, truth: bool = False, numbers: bool = True
) -> None:
    """Register a function of Vectors and numbers with numba; build(builder, *values) returns the LLVM value.

    truth: the result is a Mask.  numbers: the function is also defined for numbers alone.
    """

    def result(*kinds: Any) -> Any:
        kind = _joined(kinds)
        if kind is None or (kind == types.float64 and not numbers):
            return None
        if truth:
            return MaskType(kind.lanes) if isinstance(kind, VectorType) else types.boolean
        return kind

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = _joined(signature.args)
        if isinstance(kind, VectorType):
            values = [
                value
                if isinstance(own, VectorType)
                else _filled(builder, context.cast(builder, value, own, types.float64), kind.lanes)
                for value, own in zip(values, signature.args, strict=True)
            ]
        return build(builder, *values)

    _typed(symbol, arguments, result)
    for k in range(2**arguments):
        chosen = [VectorType if k >> i & 1 else types.Float for i in range(arguments)]
        if k or numbers:
            lower_builtin(symbol, *chosen)(lower)


def _typed(symbol: Any, arguments: int, result: Callable[..., Any]) -> None:
    """Register the result types of a function with a fixed number of arguments."""
    typers: dict[int, Callable[[Any], Any]] = {
        1: lambda context: lambda a: result(a),  # noqa: PLW0108 - numba counts arguments
        2: lambda context: lambda a, b: result(a, b),  # noqa: PLW0108 - numba counts arguments
        3: lambda context: lambda a, b, c: result(a, b, c),  # noqa: PLW0108 - numba counts arguments
    }
    type_callable(symbol)(typers[arguments])


def _called(name: str, arguments: int) -> Callable[..., Any]:
    """Return a builder that calls one of LLVM's intrinsic functions."""

    def build(builder: Any, *values: Any) -> Any:
        kind = values[0].type
        suffix = f"v{kind.count}f64" if isinstance(kind, ir.VectorType) else "f64"
        full = f"llvm.{name}.{suffix}"
        function = builder.module.globals.get(full)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(kind, [kind] * arguments), full)
        return builder.call(function, values)

    return build


def fused(a: Vector, b: Vector, c: Vector) -> Vector:
    """Return a * b + c, as a fused multiply-add (one rounding) if the processor has a fast one."""
    return a * b + c


def root(value: Vector) -> Vector:
    """Return the square root of each lane."""
    return value**0.5


def absolute(value: Vector) -> Vector:
    """Return the absolute value of each lane."""
    return abs(value)


def larger(a: Vector, b: Vector) -> Vector:
    """Return the larger value in each lane, or b where one is NaN."""
    return a if a > b else b  # noqa: FURB136 - max treats NaN differently


def smaller(a: Vector, b: Vector) -> Vector:
    """Return the smaller value in each lane, or b where one is NaN."""
    return a if a < b else b  # noqa: FURB136


def positive_or(value: Vector, otherwise: Vector) -> Vector:
    """Return `value` in lanes where it is above 0, `otherwise` in the others."""
    return value if value > 0.0 else otherwise


_lanewise(fused, 3, _called("fmuladd", 3))
_lanewise(root, 1, _called("sqrt", 1))
_lanewise(absolute, 1, _called("fabs", 1))
_lanewise(larger, 2, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
_lanewise(smaller, 2, lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))
_lanewise(
    positive_or, 2,
    lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, _constant(a.type, 0.0)), a, b),
)  # fmt: skip
for _symbol, _instruction in (
    (operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv")
):  # fmt: skip
    _lanewise(
        _symbol, 2, lambda builder, a, b, name=_instruction: getattr(builder, name)(a, b), numbers=False
    )  # fmt: skip
_lanewise(operator.neg, 1, lambda builder, a: builder.fneg(a), numbers=False)
for _symbol, _sign in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
    _lanewise(
        _symbol, 2, lambda builder, a, b, sign=_sign: builder.fcmp_ordered(sign, a, b), truth=True, numbers=False
    )  # fmt: skip


def choose(mask: Mask, a: Vector, b: Vector) -> Vector:
    """Return a where the mask is true, b elsewhere."""
    return a if mask else b


def everywhere(mask: Mask) -> bool:
    """Tell whether a mask is true in all lanes."""
    return bool(mask)


def _chosen(mask: Any, a: Any, b: Any) -> Any:
    kind = _joined((a, b))
    if isinstance(mask, MaskType):
        return VectorType(mask.lanes) if kind in (VectorType(mask.lanes), types.float64) else None
    return kind if isinstance(mask, types.Boolean) else None


def _choose(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    lanes = getattr(signature.return_type, "lanes", 0)
    a, b = (
        _filled(builder, value, lanes) if lanes and not isinstance(own, VectorType) else value
        for value, own in zip(values[1:], signature.args[1:], strict=True)
    )
    return builder.select(values[0], a, b)


_typed(choose, 3, _chosen)
for _mask in (MaskType, types.Boolean):
    for _a in (VectorType, types.Float):
        for _b in (VectorType, types.Float):
            lower_builtin(choose, _mask, _a, _b)(_choose)

_typed(everywhere, 1, lambda mask: types.boolean if isinstance(mask, (MaskType, types.Boolean)) else None)


@lower_builtin(everywhere, MaskType)
def _all_lanes(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    lanes = signature.args[0].lanes
    bits = builder.bitcast(values[0], ir.IntType(lanes))
    return builder.icmp_unsigned("==", bits, ir.Constant(ir.IntType(lanes), 2**lanes - 1))


lower_builtin(everywhere, types.Boolean)(lambda context, builder, signature, values: values[0])


def _both(a: Any, b: Any) -> Any:
    return a if isinstance(a, MaskType) and a == b else None


for _symbol, _instruction in (
    (operator.and_, "and_"),
    (operator.or_, "or_"),
    (operator.iand, "and_"),
    (operator.ior, "or_"),
):
    _typed(_symbol, 2, _both)
    lower_builtin(_symbol, MaskType, MaskType)(
        lambda context, builder, signature, values, name=_instruction: getattr(builder, name)(*values)
    )


def power_of_two(rounder: Vector) -> Vector:
    """Return 2**n for an integer n from -1022 to 1023, given as ROUNDER + n."""
    return 2.0 ** (rounder - ROUNDER)


#: 1.5 * 2**52: adding a number rounds it to an integer, which then stands in the lowest bits of the sum
ROUNDER = 6755399441055744.0


def _power(builder: Any, value: Any) -> Any:
    kind = ir.VectorType(_long, value.type.count) if isinstance(value.type, ir.VectorType) else _long
    bits = builder.shl(builder.bitcast(value, kind), _constant(kind, 52))
    return builder.bitcast(builder.add(bits, _constant(kind, 1023 << 52)), value.type)


_lanewise(power_of_two, 1, _power)
