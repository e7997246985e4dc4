"""Validation of arguments: valid values are returned, and messages name the argument, its value and the valid range."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.constants as codata

from devices import constants
from devices.checks import array, check_fields, number, quantity, whole
from devices.errors import ConvergenceError, MappingError, ParameterError, SimulationError


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0)])
def test_number__real_numbers_of_any_kind_become_float(value):
    result = number("r", value)
    assert result == 2.0
    assert type(result) is float


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-1, {"unit": "Ω", "minimum": 0}, "r_column must be ≥ 0 Ω, got -1 Ω"),
        (0.0, {"unit": "V", "above": 0}, "r_column must be > 0 V, got 0 V"),
        (3, {"minimum": 0, "below": 3}, "r_column must be ≥ 0 and < 3, got 3"),
        (3, {"maximum": 2}, "r_column must be ≤ 2, got 3"),
        (math.inf, {}, "r_column must be finite, got inf"),
        (-math.inf, {"minimum": 0, "allow_inf": True}, "r_column must be ≥ 0, got -inf"),
        (math.nan, {"allow_inf": True}, "r_column must be a real number, got nan"),
        ("1", {"unit": "Ω"}, "r_column must be a real number in Ω, got '1'"),
        (True, {}, "r_column must be a real number, got True"),
        (None, {}, "r_column must be a real number, got None"),
        (1j, {}, "r_column must be a real number, got 1j"),
        (np.ones(1), {}, "r_column must be a real number, got array([1.])"),
    ],
)
def test_number__refuses_in_one_sentence(value, bounds, message):
    with pytest.raises(ParameterError) as caught:
        number("r_column", value, **bounds)
    assert str(caught.value) == message


def test_number__bounds_that_belong_to_the_range():
    assert number("r", 0, minimum=0, maximum=0) == 0.0
    assert number("r", math.inf, minimum=0, allow_inf=True) == math.inf


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "bits must be from 1 to 8, got 0"),
        (9, "bits must be from 1 to 8, got 9"),
        (4.0, "bits must be a whole number, got 4.0"),
        (False, "bits must be a whole number, got False"),
        ("4", "bits must be a whole number, got '4'"),
    ],
)
def test_whole__refuses_in_one_sentence(value, message):
    with pytest.raises(ParameterError) as caught:
        whole("bits", value, minimum=1, maximum=8)
    assert str(caught.value) == message


def test_whole__open_range_and_numpy_integers():
    result = whole("bits", np.uint8(200), minimum=1)
    assert result == 200
    assert type(result) is int
    with pytest.raises(ParameterError, match="bits must be ≥ 1, got -3"):
        whole("bits", -3, minimum=1)


@pytest.mark.parametrize("value", [[[1, 2], [3, 4]], np.arange(1, 5, dtype=np.int8).reshape(2, 2), np.eye(2)[::-1]])
def test_array__becomes_contiguous_float64(value):
    result = array("v", value, ndim=2, shape=(None, 2))
    assert result.dtype == np.float64
    assert result.flags.c_contiguous
    assert np.array_equal(result, value)


def test_array__clean_input_is_not_copied_and_scalars_stay_scalars():
    v = np.linspace(0, 1, 5)
    assert array("v", v, minimum=0) is v
    assert array("v", 1.5).shape == ()
    assert array("v", np.zeros((0, 3)), minimum=1).shape == (0, 3)


@pytest.mark.parametrize(
    ("value", "wanted", "message"),
    [
        ([1.0, 2.0], {"ndim": 2}, "v must have 2 axes, got 1 (shape (2,))"),
        ([1.0, 2.0], {"shape": (None, 3)}, "v must have shape (any, 3), got (2,)"),
        ([[1.0, 2.0]], {"shape": (None, 3)}, "v must have shape (any, 3), got (1, 2)"),
        ([1.0, math.nan, math.nan], {}, "v must hold no nan, got nan at index (1,) (2 of 3)"),
        ([1.0, math.nan], {"finite": False}, "v must hold no nan, got nan at index (1,) (1 of 2)"),
        ([[1.0, 2.0], [-math.inf, 0.0]], {}, "v must be finite, got -inf at index (1, 0) (1 of 4)"),
        ([1.0, -2.0], {"minimum": 0}, "v must be ≥ 0 everywhere, got -2 at index (1,) (1 of 2)"),
        (math.inf, {}, "v must be finite, got inf"),
        ("abc", {}, "v must be an array of real numbers, got 'abc' of type <U3"),
        ([1j], {}, "v must be an array of real numbers, got [1j] of type complex128"),
        ([True], {}, "v must be an array of real numbers, got [True] of type bool"),
        ([[1], [1, 2]], {}, "v must be a rectangular array of numbers, got [[1], [1, 2]]"),
    ],
)
def test_array__refuses_in_one_sentence(value, wanted, message):
    with pytest.raises(ParameterError) as caught:
        array("v", value, **wanted)
    assert str(caught.value) == message


def test_array__infinity_passes_where_it_is_allowed():
    assert np.array_equal(array("r", [1.0, math.inf], minimum=0, finite=False), [1.0, math.inf])


@dataclass(frozen=True)
class Part:
    r: float = quantity(1.0, "Ω", minimum=0.0)
    on: bool = True

    def __post_init__(self):
        check_fields(self)


def test_check_fields__stores_floats_and_bools():
    part = Part(r=2, on=np.bool_(False))
    assert type(part.r) is float
    assert part.on is False
    assert dataclasses.replace(part, r=3) == Part(3.0, on=False)


def test_check_fields__names_the_field():
    with pytest.raises(ParameterError, match="r must be ≥ 0 Ω, got -1 Ω"):
        Part(r=-1)
    with pytest.raises(ParameterError, match="on must be True or False, got 1"):
        Part(on=1)


def test_errors__are_what_a_caller_expects():
    assert issubclass(ParameterError, (SimulationError, ValueError))
    assert issubclass(ConvergenceError, RuntimeError)
    assert all(issubclass(kind, SimulationError) for kind in (ParameterError, ConvergenceError, MappingError))
    assert issubclass(MappingError, ValueError)


def test_constants__are_those_of_codata():
    ours = (constants.ELEMENTARY_CHARGE, constants.PLANCK, constants.BOLTZMANN)
    assert ours == (codata.e, codata.h, codata.k)
    derived = (constants.BOLTZMANN_EV, constants.CONDUCTANCE_QUANTUM)
    names = ("Boltzmann constant in eV/K", "conductance quantum")
    assert derived == pytest.approx([codata.physical_constants[name][0] for name in names], rel=1e-9)


def test_array__masked_elements_have_no_value():
    held = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])
    with pytest.raises(ParameterError, match=r"^g must have a value everywhere, got an array with masked elements$"):
        array("g", held)
    assert np.array_equal(array("g", np.ma.array([1.0, 2.0])), [1.0, 2.0])
