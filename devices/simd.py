"""Four float64 in one vector register, for kernels that treat four circuits side by side.

Inside a kernel ``load`` and ``broadcast`` make a Vector, ``+ - * /`` work on two of them lane by lane, and ``store``
puts one back.  Compilers vectorise inner loops only; here the lanes are the vector, so blocks of results can stay in
registers over a whole sum.  Arrays are contiguous float64; nothing is checked against their bounds.
"""

# numba hands builders of its own kinds to intrinsics:
# ruff: noqa: ANN401
# mypy: disable-error-code="misc, untyped-decorator"

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

LANES = 4

_double = ir.DoubleType()
_vector = ir.VectorType(_double, LANES)


class VectorType(types.Type):
    """Numba's type of four float64 in a register."""

    def __init__(self) -> None:
        super().__init__(name="Vector4")


vector = VectorType()
Vector = Any  #: what an annotation says of four float64 in a register


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end_type: VectorType) -> None:
        super().__init__(manager, front_end_type, _vector)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _vector.as_pointer())


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Return array[index : index + 4] as a Vector."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(where, align=8)

    return vector(array, types.intp), build


@intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Set array[index : index + 4] to a Vector."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], where, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), build


@intrinsic
def broadcast(typing_context: Any, number: Any) -> Any:
    """Return a Vector with one number in all lanes."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = builder.insert_element(ir.Constant(_vector, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, ir.Constant(_vector, ir.Undefined), lanes)

    return vector(types.float64), build


def _built_in(name: str, arguments: int) -> Any:
    """Return the code generator of one of LLVM's own functions on vectors."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function = builder.module.globals.get(name)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(_vector, [_vector] * arguments), name)
        return builder.call(function, values)

    return build


@intrinsic
def fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once where the processor can do so at no cost."""
    return vector(vector, vector, vector), _built_in("llvm.fmuladd.v4f64", 3)


@intrinsic
def root(typing_context: Any, value: Any) -> Any:
    """Return the square root of each lane."""
    return vector(vector), _built_in("llvm.sqrt.v4f64", 1)


@intrinsic
def positive_or(typing_context: Any, value: Any, otherwise: Any) -> Any:
    """Return the lanes of `value` that are above 0, those of `otherwise` elsewhere."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        above = builder.fcmp_ordered(">", arguments[0], ir.Constant(_vector, [0.0] * LANES))
        return builder.select(above, *arguments)

    return vector(vector, vector), build


def _arithmetic(instruction: str) -> Any:
    @intrinsic
    def apply(typing_context: Any, a: Any, b: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

        return vector(vector, vector), build

    return apply


_add, _subtract, _multiply, _divide = (_arithmetic(name) for name in ("fadd", "fsub", "fmul", "fdiv"))


def _lanewise(symbol: Any, apply: Any) -> None:
    @overload(symbol, inline="always")
    def choose(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  (numba compares this with the lambda's)
        if a == vector and b == vector:
            return lambda a, b: apply(a, b)  # noqa: PLW0108  (numba takes functions only)
        return None


_lanewise(operator.add, _add)
_lanewise(operator.sub, _subtract)
_lanewise(operator.mul, _multiply)
_lanewise(operator.truediv, _divide)
