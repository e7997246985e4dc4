"""Arguments of our classes, or numpy's Generator: every public function refuses anything else in one sentence."""

import inspect
from typing import get_type_hints

import numpy as np
import pytest

import crossbar
import devices
from crossbar import Capacitances, GateLines, Wires
from crossbar.transfer.gate_nodes import Nodes
from devices import AdaptiveMemristor, ParameterError, ReadNoise, Spread, WriteVerify, checks
from devices.measurements.waveforms import sweep
from devices.writing.spread import DrawnCells

BAD = {"None": None, "a whole number": 3, "text": "text", "a class": Wires, "a list": [], "beyond float": 10**400}


def valid(kind):
    """A value of a class that public functions ask for."""
    rng = np.random.default_rng(0)
    values = {
        Wires: lambda: Wires(1.0, 1.0, 1.0, 1.0),
        np.random.Generator: lambda: rng,
        ReadNoise: ReadNoise,
        WriteVerify: WriteVerify,
        DrawnCells: lambda: Spread().draw(AdaptiveMemristor(), (2, 3), rng),
        Capacitances: Capacitances,
        GateLines: lambda: GateLines("tile", 1.0, 1.0),
        AdaptiveMemristor: AdaptiveMemristor,
        devices.Cell: AdaptiveMemristor,
        Nodes: lambda: crossbar.GainNodes(0.1, 0.9, 2),
        devices.Stress: lambda: devices.Stress(np.zeros(1), np.zeros(1), np.ones(1)),
        devices.Waveform: lambda: sweep(0.1, points=3),
        crossbar.Array: lambda: crossbar.Array(devices.Resistor(), np.ones((2, 3))),
        crossbar.Family: lambda: crossbar.Family(crossbar.GainNodes(0.1, 0.9, 2), np.ones((2, 2, 3))),
    }
    return values.get(kind, lambda: None)()


def public_functions():
    """Every public function of both packages that asks for one of our classes or a Generator."""
    for package in (devices, crossbar):
        for name in package.__all__:
            function = getattr(package, name)
            if inspect.isfunction(function) and checks.classes_of(inspect.unwrap(function)):
                yield name, function


CASES = [
    pytest.param(function, argument, id=f"{name}-{argument}")
    for name, function in public_functions()
    for argument in checks.classes_of(inspect.unwrap(function))
]


@pytest.mark.parametrize(("function", "argument"), CASES)
@pytest.mark.parametrize("kind", BAD)
def test_public_functions__refuse_another_class_by_name(function, argument, kind):
    plain = inspect.unwrap(function)
    wanted = checks.classes_of(plain)
    if BAD[kind] is None and wanted[argument][1]:
        return  # None is a choice
    others = {
        parameter.name: valid(wanted[parameter.name][0]) if parameter.name in wanted else None
        for parameter in inspect.signature(plain).parameters.values()
        if parameter.default is parameter.empty
    }
    with pytest.raises(ParameterError, match=rf"^{argument} must be an? {wanted[argument][0].__name__}, got"):
        function(**{**others, argument: BAD[kind]})


def test_public_functions__are_many():
    assert len(CASES) > 25
    assert {case.values[1] for case in CASES} >= {"wires", "rng", "scheme", "cells", "noise", "lines", "capacitances"}


def test_typed__leaves_pythons_own_sentences_and_names():
    assert crossbar.transfer_matrix.__name__ == "transfer_matrix"
    assert "wires" in get_type_hints(crossbar.transfer_matrix)
    with pytest.raises(TypeError, match=r"missing 1 required positional argument"):
        crossbar.transfer_matrix(np.ones((2, 2)))


@pytest.mark.parametrize("bad", [None, 3, "text"])
def test_generators_and_cells__of_methods(bad):
    with pytest.raises(ParameterError, match=r"^rng must be"):
        Spread().draw(AdaptiveMemristor(), (2, 3), bad)
    with pytest.raises(ParameterError, match=r"^rng must be"):
        ReadNoise().draw_traps((2, 3), bad)
    with pytest.raises(ParameterError, match=r"^cell must be a cell of devices"):
        Spread().draw(bad, (2, 3), np.random.default_rng(0))
    with pytest.raises(ParameterError, match=r"^shape must be a tuple of whole numbers"):
        Spread().draw(AdaptiveMemristor(), bad, np.random.default_rng(0))
    with pytest.raises(ParameterError, match=r"^cell must be gated"):
        crossbar.GateNodes(bad, 4)


@pytest.mark.parametrize("bad", [10**400, -(10**400)], ids=["plus", "minus"])
def test_numbers__beyond_float_are_refused(bad):
    with pytest.raises(ParameterError, match=r"^r_row must be finite"):
        Wires(bad, 1.0, 1.0, 1.0)
    with pytest.raises(ParameterError, match=r"^r_driver must be finite"):
        Wires(1.0, 1.0, bad, 1.0)
    with pytest.raises(ParameterError, match=r"^most_pulses must be a whole number of at most 63 bits, got 1329 bits"):
        WriteVerify(most_pulses=bad)
    with pytest.raises(ParameterError, match=r"^v must be"):
        checks.voltages("v", bad)


@pytest.mark.parametrize("bad", [1e300, [0.0, -1e300]])
def test_voltages__that_leave_no_numbers_are_refused(bad):
    with pytest.raises(ParameterError, match=r"^v must be at most 1e\+60 in size everywhere, got -?1e\+300"):
        checks.voltages("v", bad)
    with pytest.raises(ParameterError, match=r"^v_gate must be at most"):
        AdaptiveMemristor().gate_gain(bad)
    with pytest.raises(ParameterError, match=r"^v must be at most"):
        crossbar.solve(np.ones((2, 1)), np.resize(bad, (1, 2)), Wires(1.0, 1.0, 1.0, 1.0))
    with pytest.raises(ParameterError, match=r"^v must be at most"):
        crossbar.sensitivity(np.ones((2, 1)), np.resize(bad, (1, 2)), Wires(1.0, 1.0, 1.0, 1.0))


def test_array__is_of_the_one_kind_that_kernels_know():
    good = np.arange(6.0).reshape(2, 3)
    read_only, strided = good.copy(), np.repeat(good, 2, axis=1)[:, ::2]
    read_only.setflags(write=False)
    unaligned = np.zeros(49, dtype=np.uint8)[1:].view(np.float64).reshape(2, 3)
    unaligned[...] = good
    for each in (read_only, strided, unaligned, np.asfortranarray(good), good.astype(">f8"), good.tolist()):
        found = checks.array("g", each)
        assert (found.flags.writeable, found.flags.aligned, found.flags.c_contiguous) == (True, True, True)
        assert found.dtype == np.float64
        assert found.dtype.isnative
        assert np.array_equal(found, good)
    assert checks.array("g", good) is good
    assert not read_only.flags.writeable
