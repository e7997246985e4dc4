"""Wires between arrays, clocks and leakage: an H-tree by hand, sums over layers, dependences."""

import dataclasses
import math

import numpy as np
import pytest

from crossbar.tiles.activity import Activity
from mapping.hardware.description import Hardware
from mapping.prices.overhead import beyond_the_chip, clock_rate, overheads, register_bits, traffic, tree, way, within
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
    hardware = Hardware().with_values(["tile.rows=64", "tile.columns=16", "cell.g_gate_leak=0", *settings])
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
    clocks = 8e-6 * 263 / 137.5e-9  # in each read of 255 slots, and 10 ns to settle, 8 conversions of the one before
    steps = {
        "conv": 30 * 4,
        "mixed": 30 * 4 + 2 + 3,
        "side": 30 * 4,
        "fc": 2 * 3,
    }  # pairs that take turns, by reads; fc: both signs
    for name, area in AREAS.items():
        arrays = program.tiles(name)
        wanted = Activity(
            wire_bit_meters=moved[name], register_bits=8 * 12 + 8 * 5,
            clock_meters=clocks * tree(area, arrays), control_steps=steps[name], leaking=area * 2e-6,
        )  # fmt: skip
        assert dataclasses.astuple(found[name]) == pytest.approx(dataclasses.astuple(wanted), rel=1e-9, abs=0.0)
    hardware = Hardware().with_values(["adc.bits=6", "dac.bits=5", "gate_dac.bits=3"])
    assert register_bits(Activity(conversions=2.0, row_codes=1.0, gate_updates=1.0), hardware) == 12.0 + 5.0 + 3.0


def test_overheads__slots_time_the_clock_and_other_codings_need_one_edge(program):
    """Slots of half the length give twice the clocks in a second, and as many in a read."""
    hardware = program.hardware
    for setting, clocks, whole in (
        ("dac.t_slot=1e-9", 255 + 8, 265e-9), ("dac.t_slot=0.5e-9", 255 + 8, 137.5e-9),
        ("dac.coding=amplitude", 1 + 8, 80e-9),  # it waits for its converters
        ("dac.t_slot=1e-9", 63 + 8, 80e-9),  # 73 ns of reading
    ):  # fmt: skip
        settings = [setting, "dac.bits=6"] if clocks == 71 else [setting]
        assert clock_rate(hardware.with_values(settings)) == pytest.approx(clocks / whole, rel=1e-12)


def test_widths__move_every_bit_on_wires(program):
    """Codes of 4 bits halve what codes move, and a result of one tile has the bits of its converter."""
    narrow, area = compiled("dac.bits=4"), 9e-8
    array = area / 5
    codes = 4 * 30 * 36 * (way(area, 3 * array) + tree(3 * array, 3))
    usual, less = within(program, "mixed", area), within(narrow, "mixed", area)
    attention = 4 * (4 + 2) * way(area, array)  # codes of the two matrices of the attention
    assert usual - less == pytest.approx(codes + attention, rel=1e-12, abs=0.0)
    results = within(program, "mixed", area) - within(compiled("adc.bits=4"), "mixed", area)
    assert results == pytest.approx(4 * 30 * 4 * way(area, 3 * array) + 4 * (2 + 3) * way(area, array), rel=1e-12)


def test_external__memory_holds_inputs_or_all_maps(program):
    """8 bits for each value: the image of 2 x 6 x 5 and 3 results, or every map that a layer reads and writes."""
    maps = {name: beyond_the_chip(compiled(f"costs.external={name}"), AREAS) for name in ("none", "inputs", "maps")}
    assert set(maps["none"].values()) == {0.0}
    assert maps["inputs"] == {"conv": 8 * 60.0, "mixed": 0.0, "side": 0.0, "fc": 8 * 3.0}
    assert maps["maps"] == {
        "conv": 8 * (60.0 + 120.0), "mixed": 8 * 240.0, "side": 8 * 240.0, "fc": 8 * (4.0 + 3.0)
    }  # fmt: skip
