"""Wires: valid and invalid arguments, error messages, equality, immutability and pickling."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbar import Wires
from crossbar.arrays.wires import graphene_coefficient
from devices.errors import ParameterError, SimulationError

ENDS = ("r_driver", "r_sense", "r_driver_far", "r_sense_far")
ohms = st.one_of(st.just(0.0), st.just(inf), st.floats(1e-6, 1e9))
segments = st.one_of(st.just(0.0), st.floats(1e-6, 1e3))
ends = st.one_of(ohms, st.lists(ohms, min_size=1, max_size=4))


def test_defaults__far_ends_are_open():
    wires = Wires(r_row=1, r_column=2, r_driver=3, r_sense=4)
    assert (wires.r_row, wires.r_column, wires.r_driver, wires.r_sense) == (1.0, 2.0, 3.0, 4.0)
    assert wires.r_driver_far == wires.r_sense_far == inf
    assert all(type(getattr(wires, name)) is float for name in ("r_row", *ENDS))


@pytest.mark.parametrize(("method", "name"), [(name[2:], name) for name in ENDS])
def test_lines__scalar_and_per_line(method, name):
    scalar = replace(Wires(1, 1, 1, 1), **{name: 7})
    assert getattr(scalar, method)(3).tolist() == [7.0, 7.0, 7.0]
    given_lines = replace(Wires(1, 1, 1, 1), **{name: [1, 0.0, inf]})
    assert getattr(given_lines, method)(3).tolist() == [1.0, 0.0, inf]
    with pytest.raises(ParameterError, match=rf"{name} has 3 resistances, but the array has 4 (rows|columns)"):
        getattr(given_lines, method)(4)


@pytest.mark.parametrize("name", ["r_row", "r_column", *ENDS])
@pytest.mark.parametrize("value", [-1.0, nan, -inf, "1", None, 1j, True])
def test_refused__one_value(name, value):
    with pytest.raises(ParameterError, match=name):
        replace(Wires(1, 1, 1, 1), **{name: value})


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("value", [[1.0, -1.0], [1.0, nan], [[1.0]], [], ["a"], [1.0, -inf], [1.0, 1e-310]])
def test_refused__per_line(name, value):
    with pytest.raises(ParameterError, match=name):
        replace(Wires(1, 1, 1, 1), **{name: value})


@pytest.mark.parametrize("name", ["r_row", "r_column"])
@pytest.mark.parametrize("value", [inf, [1.0, 2.0]])
def test_refused__segments_are_one_finite_value_or_one_for_each(name, value):
    with pytest.raises(ParameterError, match=name):
        replace(Wires(1, 1, 1, 1), **{name: value})


def test_refused__message_names_argument_value_and_what_is_right():
    with pytest.raises(SimulationError, match=r"^r_column must be ≥ 0 Ω, got -1 Ω$"):
        Wires(r_row=2.5, r_column=-1, r_driver=0, r_sense=0)
    with pytest.raises(ValueError, match=r"^r_sense must be 0 or at least 1e-300 Ω, got 1e-320$"):
        Wires(1, 1, 1, 1e-320)
    with pytest.raises(ParameterError, match=r"^r_driver\[1\] must be 0 or at least 1e-300 Ω, got 1e-310$"):
        Wires(1, 1, [1.0, 1e-310], 1)


def test_frozen__neither_field_nor_array_can_change():
    lines = np.array([1.0, 2.0])
    wires = Wires(1, 1, lines, 1)
    lines[0] = 99.0
    assert wires.driver(2).tolist() == [1.0, 2.0]
    with pytest.raises(FrozenInstanceError):
        wires.r_row = 2.0
    with pytest.raises(ValueError, match="read-only"):
        wires.r_driver[0] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(wires)).r_driver[0] = 5.0
    wires.driver(2)[0] = 5.0  # the caller's own copy
    assert wires.driver(2)[0] == 1.0


@given(segments, segments, ends, ends, ends, ends)
def test_value__repr_evaluates_back_and_copies_are_equal(r_row, r_column, r_driver, r_sense, far, sense_far):
    wires = Wires(r_row, r_column, r_driver, r_sense, r_driver_far=far, r_sense_far=sense_far)
    again = eval(repr(wires), {"Wires": Wires, "float": float})  # noqa: S307
    for same in (again, replace(wires), copy.deepcopy(wires), pickle.loads(pickle.dumps(wires))):
        assert same == wires
        assert hash(same) == hash(wires)
        assert repr(same) == repr(wires)


def test_value__equality_sees_every_field():
    wires = Wires(1, 2, 3, 4, 5, 6)
    for name in ("r_row", "r_column", *ENDS):
        assert replace(wires, **{name: 7.0}) != wires
        assert hash(replace(wires, **{name: 7.0})) != hash(wires)
    assert Wires(1, 1, [1.0, 1.0], 1) != Wires(1, 1, 1, 1)  # the first fits two rows only
    assert Wires(1, 1, -0.0, 1) == Wires(1, 1, 0.0, 1)
    assert repr(Wires(1, 1, [-0.0], 1)) == repr(Wires(1, 1, [0.0], 1))
    assert wires != "Wires"
    assert len({Wires(1, 1, [1, 2], 1), Wires(1.0, 1, np.array([1.0, 2.0]), 1)}) == 1


def test_repr__reads_as_it_was_written():
    assert repr(Wires(1, 0, [1, inf], 2.5)) == (
        "Wires(r_row=1.0, r_column=0.0, r_driver=[1.0, float('inf')], r_sense=2.5)"
    )
    assert repr(Wires(1, 1, 1, inf, 4)) == (
        "Wires(r_row=1.0, r_column=1.0, r_driver=1.0, r_sense=float('inf'), r_driver_far=4.0)"
    )


def test_at_temperature__segments_follow_and_ends_stay():
    warm = Wires(2.0, 1.0, 100.0, 10.0).at_temperature(340.0, 4.5e-3)
    assert (warm.r_row, warm.r_column) == pytest.approx((2.36, 1.18), rel=1e-14)
    assert (warm.r_driver, warm.r_sense) == (100.0, 10.0)
    assert Wires(2.0, 1.0, 1.0, 1.0).at_temperature(300.0) == Wires(2.0, 1.0, 1.0, 1.0)


def test_graphene_coefficient__a_tenth_of_an_ohm_per_kelvin():
    wires = Wires(500.0, 500.0, 1.0, 1.0)
    assert wires.at_temperature(310.0, graphene_coefficient(500.0)).r_row == pytest.approx(501.0, rel=1e-14)


def test_at_temperature__refuses_in_one_sentence():
    with pytest.raises(ParameterError, match=r"must be > 0, got -0\.35"):
        Wires(1.0, 1.0, 1.0, 1.0).at_temperature(0.0001, 4.5e-3)
    with pytest.raises(ParameterError, match="temperature must be > 0 K, got 0 K"):
        Wires(1.0, 1.0, 1.0, 1.0).at_temperature(0.0)
