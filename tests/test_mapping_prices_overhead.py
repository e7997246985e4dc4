"""Wires between arrays, clocks and leakage: an H-tree by hand, sums over layers, dependences."""

import dataclasses
import math

import numpy as np
import pytest

from crossbar.tiles.activity import Activity
from crossbar.tiles.converters import Adc
from mapping.hardware.description import Hardware
from mapping.prices.overhead import overheads, register_bits, traffic, tree, way, within
from mapping.workflow.compiling import compile_network
from tests.small_networks import joined


def drawn(side, levels):
    """All segments of an H-tree over a square, and the ways from its root to the leaves."""
    if not levels:
        return 0.0, [0.0]
    length, ways = drawn(side / 2, levels - 1)
    own = side / 2 + 2 * side / 2  # the bar, and half of each upright on either side of it
    return own + 4 * length, [side / 4 + side / 4 + each for each in ways]


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_tree__is_one_drawn_by_hand(levels):
    side, leaves = 3e-3, 4**levels
    length, ways = drawn(side, levels)
    assert tree(side**2, leaves) == pytest.approx(length, rel=1e-12, abs=0.0)
    assert way(side**2, side**2 / leaves) == pytest.approx(ways[0], rel=1e-12, abs=0.0)


def compiled(*settings):
    rng = np.random.default_rng(4)
    hardware = Hardware().with_values(["tile.rows=64", "tile.columns=16", *settings])
    return compile_network(joined(rng), hardware, rng.random((4, 2, 6, 5)))


@pytest.fixture(scope="module")
def program():
    return compiled()


AREAS = {"conv": 4e-8, "mixed": 9e-8, "side": 1e-8, "fc": 2e-8}


def test_within__of_one_array_moves_nothing(program):
    """The root of a layer of one array is that array's."""
    assert [len(matrix.tiles) for matrix in program.of("side")] == [1]
    assert within(program, "side", 1e-8) == pytest.approx(0.0, abs=1e-18)


def test_within__by_hand(program):
    """3 kernels of one tile of 36 rows and 4 pairs, and 2 matrices of the attention, in 5 arrays."""
    area, array = 9e-8, 9e-8 / 5
    assert program.tiles("mixed") == 5
    codes = 8 * 30 * 36 * (way(area, 3 * array) + tree(3 * array, 3))  # to all kernels at once
    sums, gates = 8 * 30 * 4 * way(area, 3 * array), 8 * 3 * way(area, 3 * array)
    attention = 8 * (4 + 2 + 2 + 3) * way(area, array)  # codes in, results out of both
    assert within(program, "mixed", area) == pytest.approx(codes + sums + gates + attention, rel=1e-12, abs=0.0)


def test_within__kernels_read_apart_share_the_codes(program):
    """Mixed digitally: three sums come back instead of one, no gate is set, codes go the same way."""
    apart, area = compiled("mapping.layout=digital"), 9e-8
    array = area / 5
    codes = 8 * 30 * 36 * (way(area, 3 * array) + tree(3 * array, 3))
    sums, attention = 3 * 8 * 30 * 4 * way(area, array), 8 * (4 + 2 + 2 + 3) * way(area, array)
    assert within(apart, "mixed", area) == pytest.approx(codes + sums + attention, rel=1e-12, abs=0.0)
    assert within(apart, "mixed", area) > within(program, "mixed", area)


def test_within__kernels_that_are_written_come_through_the_wires(program):
    rewritten, area = compiled("mapping.layout=reprogram"), 9e-8
    array = area / 3
    moved = (8 * 30 * 36 + 8 * 30 * 4 + 8 * 36 * 4 + 8 * (4 + 2 + 2 + 3)) * way(area, array)
    assert within(rewritten, "mixed", area) == pytest.approx(moved, rel=1e-12, abs=0.0)


def test_traffic__between_layers_by_hand(program):
    """A map goes up to the root of the neighbours from its source to its sink, and down; ends lead to the chip's."""
    whole = sum(AREAS.values())
    found = traffic(program, AREAS)
    r = {name: math.sqrt(area) for name, area in AREAS.items()}
    maps = 8 * 4 * 6 * 5
    between = {
        "conv": 8 * 2 * 30 * (math.sqrt(whole) - r["conv"]),
        "mixed": maps * (2 * math.sqrt(13e-8) - r["conv"] - r["mixed"]),
        "side": maps * (2 * math.sqrt(14e-8) - r["conv"] - r["side"]),
        "fc": 8 * 4 * (2 * math.sqrt(12e-8) - r["mixed"] - r["fc"] + 2 * math.sqrt(3e-8) - r["side"] - r["fc"])
        + 8 * 3 * (math.sqrt(whole) - r["fc"]),
    }  # fmt: skip
    for name, expected in between.items():
        inside = within(program, name, AREAS[name])
        assert found[name] - inside == pytest.approx(expected, rel=1e-9, abs=0.0), name


def test_overheads__by_hand(program):
    """Clocks run while attention and reads do; area leaks from one image to the next."""
    costs = program.hardware.costs
    done = {name: Activity(row_codes=10.0, gate_updates=2.0, conversions=5.0) for name in AREAS}
    phases = {"attention": 3e-6, "gates": 7e-6, "write": 1e-3, "read": 5e-6}
    found = overheads(program, costs, done, dict.fromkeys(AREAS, phases), AREAS, 2e-6)
    moved = traffic(program, AREAS)
    for name, area in AREAS.items():
        arrays = program.tiles(name)
        wanted = Activity(
            wire_bit_meters=moved[name], register_bits=8 * 12 + 8 * 5, clock_meters=8000 * tree(area, arrays),
            array_clocks=8000.0 * arrays, leaking=area * 2e-6,
        )  # fmt: skip
        assert dataclasses.astuple(found[name]) == pytest.approx(dataclasses.astuple(wanted), rel=1e-9, abs=0.0)
    still = dataclasses.replace(costs, t_digital=0.0)
    none = overheads(program, still, done, dict.fromkeys(AREAS, phases), AREAS, 2e-6)
    assert {each.clock_meters for each in none.values()} == {0.0}
    assert register_bits(Activity(conversions=2.0), Adc(bits=6)) == 12.0
