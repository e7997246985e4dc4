"""Schedules and areas: by hand, the longest path, and pipelining of images."""

import dataclasses
import math

import numpy as np
import pytest

from crossbar.prices.adc_models import area_isaac, area_survey
from crossbar.prices.catalogue import component
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.networks import Add, Conv, GlobalAveragePool, Linear, MaxPool, Network, Relu
from mapping.placement.matrix import Matrix
from mapping.prices.area import AREAS, arrays, layer_area, tile_area
from mapping.prices.timing import interval, phases, rows_needed, schedule, t_column, t_gates
from mapping.workflow.compiling import compile_network
from tests.small_networks import joined


def compiled(*settings, base=None):
    hardware = (Hardware() if base is None else load_hardware(base)).with_values(settings)
    rng = np.random.default_rng(4)
    return compile_network(joined(rng), hardware, rng.random((4, 2, 6, 5)))


@pytest.fixture(scope="module")
def program():
    return compiled("tile.rows=16", "tile.columns=8")


# schedule


def planned(program):
    costs = program.hardware.costs
    times = {name: phases(program, name, costs) for name in ("conv", "mixed", "side", "fc")}
    return times, schedule(program, costs, times)


def test_schedule__follows_the_longest_path(program):
    times, plan = planned(program)
    total = {name: sum(parts.values()) for name, parts in times.items()}
    digital = program.hardware.costs.t_digital
    assert plan.starts["mixed"] == pytest.approx(total["conv"] + digital, rel=1e-12, abs=0.0)
    assert plan.starts["side"] < plan.starts["mixed"]  # static, it need not wait for the last row
    assert total["mixed"] > total["side"]
    assert plan.ends["add"] == pytest.approx(plan.ends["mixed"] + digital, rel=1e-12, abs=0.0)  # the slower branch
    assert plan.latency == pytest.approx(sum(total.values()) - total["side"] + 3 * digital, rel=1e-12, abs=0.0)
    assert plan.interval == max(plan.intervals.values()) == plan.intervals[plan.bottleneck]


def rows_by_rows(program, times, static):
    """When the rows of conv and side are there, one row after another: what a stall-free start must keep up with."""
    conv, side = (times[name]["read"] for name in ("conv", "side"))
    digital = program.hardware.costs.t_digital
    tails = {name: 40e-9 + 2e-9 if name == "conv" else 40e-9 + 1e-9 for name in ("conv", "side")}  # 4 conversions, sums
    first = [(y + 1) * (conv - tails["conv"]) / 6 + tails["conv"] + digital for y in range(6)]
    pace = (side - tails["side"]) / 6
    begin = max(each - y * pace for y, each in enumerate(first)) if static else first[-1]
    return begin, begin + side


@pytest.mark.parametrize("static", [True, False])
def test_schedule__static_layers_begin_with_the_rows_they_need(static):
    program = compiled("tile.rows=16", "tile.columns=8", f"mapping.pipelined={str(static).lower()}")
    times, plan = planned(program)
    begin, end = rows_by_rows(program, times, static)
    assert plan.starts["side"] == pytest.approx(begin, rel=1e-9, abs=0.0)
    assert plan.ends["side"] == pytest.approx(end, rel=1e-9, abs=0.0)
    other = schedule(program, program.hardware.costs, times, pipelined=not static)
    assert (plan.starts["side"] < other.starts["side"]) == static
    assert plan.intervals == other.intervals
    assert plan.starts["mixed"] == other.starts["mixed"]  # dynamic: its whole input


def test_schedule__pipelined_reads_never_miss_a_row():
    """A chain of strides, pools and padding: each row is read after the rows of the map that it needs are there."""
    rng = np.random.default_rng(2)
    layers = (
        Conv("one", ("input",), rng.normal(size=(4, 1, 3, 3)), None, (1, 1), (1, 1)),
        MaxPool("pool", ("one",), (2, 2), (2, 2)),
        Conv("two", ("pool",), rng.normal(size=(4, 4, 3, 3)), None, (1, 1), (2, 2), (2, 2)),
        Relu("relu", ("two",)),
        Conv("three", ("relu",), rng.normal(size=(4, 4, 5, 1)), None, (2, 1), (1, 0)),
        GlobalAveragePool("mean", ("three",)),
        Linear("fc", ("mean",), rng.normal(size=(3, 4))),
    )
    exact = Network("chain", (1, 16, 8), tuple("abc"), layers)
    for settings in ([], ["mapping.copies.one=4"], ["mapping.copies.two=8", "adc.sample_rate=1e7"]):
        program = compile_network(exact, Hardware().with_values(settings), rng.random((2, 1, 16, 8)))
        costs = program.hardware.costs
        times = {name: phases(program, name, costs) for name in ("one", "two", "three", "fc")}
        plan = schedule(program, costs, times)
        whole = schedule(program, costs, times, pipelined=False)
        assert plan.latency < whole.latency
        assert plan.intervals == whole.intervals

        def made(name, rows, plan=plan, times=times):  # when a row is there: those after it follow at the layer's pace
            return [plan.ends[name] - (rows - 1 - y) * times[name]["read"] / rows for y in range(rows)]

        def read(name, rows, plan=plan, times=times):
            return [plan.starts[name] + y * times[name]["read"] / rows for y in range(rows)]

        one, two = made("one", 16), made("two", 8)
        slack = 45e-9 / costs.t_digital * 1e-9 + 400e-9  # the last conversion and sums, which `made` spreads
        for y, now in enumerate(read("two", 8)):  # rows y - 2, y, y + 2 of the pooled map, each of two rows
            assert now > one[min(2 * (y + 2) + 1, 15)] - slack
        for y, now in enumerate(read("three", 3)):
            assert now > two[min(2 * y - 1 + 4, 7)] - slack
        assert plan.starts["fc"] == pytest.approx(plan.ends["mean"], rel=1e-12)


def test_rows_needed__by_hand():
    conv = Conv("c", ("x",), np.ones((1, 1, 3, 3)), None, (2, 1), (1, 1), (2, 1))
    assert rows_needed(conv, 0, 4).tolist() == [3, 5, 7, 9]
    assert rows_needed(conv, 1, 4) is None
    assert rows_needed(MaxPool("p", ("x",), (3, 3), (2, 2), (1, 1)), 0, 3).tolist() == [1, 3, 5]
    assert (
        rows_needed(Relu("r", ("x",)), 0, 3).tolist() == rows_needed(Add("a", ("x", "y")), 1, 3).tolist() == [0, 1, 2]
    )
    assert rows_needed(GlobalAveragePool("g", ("x",)), 0, 1) is None


def test_schedule__of_following_images_meets_nobody(program):
    """Moved by one interval each, no part of a layer is needed twice at once; moved by less, the slowest is."""
    times, plan = planned(program)

    def clashes(step):
        for parts in times.values():
            busy = {"attention": parts["attention"], "gates": parts["gates"], "arrays": parts["write"] + parts["read"]}
            yield from (name for name, length in busy.items() if length > step * (1 + 1e-12))

    assert not list(clashes(plan.interval))
    assert list(clashes(0.99 * plan.interval))


def test_interval__by_hand():
    parts = {"attention": 3.0, "gates": 5.0, "write": 0.5, "read": 2.0}
    assert interval(parts, double_gates=True) == 5.0
    assert interval(parts, double_gates=False) == 7.5
    assert interval(parts | {"attention": 9.0}, double_gates=False) == 9.0


def test_double_gates__hide_the_settling_behind_reads(program):
    single = compiled("tile.rows=16", "tile.columns=8", "mapping.double_gates=false", "gate_dac.t_settle=1e-6")
    double = compiled("tile.rows=16", "tile.columns=8", "gate_dac.t_settle=1e-6")
    one, two = planned(single)[1], planned(double)[1]
    assert one.latency == two.latency
    assert one.intervals["mixed"] == pytest.approx(two.intervals["mixed"] + 1e-6, rel=1e-12, abs=0.0)


def test_phases__of_layouts(program):
    costs = program.hardware.costs
    known = {layout: phases(compiled("tile.rows=16", "tile.columns=8", f"mapping.layout={layout}"), "mixed", costs)
             for layout in ("parallel", "digital", "reprogram")}  # fmt: skip
    assert known["parallel"]["write"] == known["digital"]["write"] == 0.0
    assert known["digital"]["gates"] == known["reprogram"]["gates"] == 0.0
    assert known["digital"]["attention"] == 0.0  # computed while the kernels are read
    assert known["digital"]["read"] == pytest.approx(known["parallel"]["read"] + 3 * costs.t_digital, rel=1e-9, abs=0.0)
    assert known["reprogram"]["write"] == pytest.approx(12 * costs.t_write, rel=1e-12, abs=0.0)  # 36 rows on 3 tiles
    assert known["reprogram"]["attention"] == known["parallel"]["attention"] > 0.0


def test_settling__is_the_solver_s_where_it_is_longer(program):
    """Columns of a line of 1000 times the capacitance set the length of the last slot; gates likewise."""
    (matrix,) = program.matrices["mixed"]
    hardware, costs = program.hardware, program.hardware.costs
    assert 0.0 < t_column(matrix, hardware, costs) < hardware.dac.t_slot
    assert t_gates(matrix, hardware, costs) == hardware.gate_dac.t_settle
    heavy = dataclasses.replace(costs, c_wire=3e-4)
    slow = t_column(matrix, hardware, heavy)
    assert slow > 10 * hardware.dac.t_slot
    heavier = dataclasses.replace(costs, c_wire=6e-4)
    assert t_column(matrix, hardware, heavier) == pytest.approx(2 * slow, rel=1e-6, abs=0.0)
    light = dataclasses.replace(
        costs, c_wire=1.01 * hardware.dac.t_slot / t_column(matrix, hardware, costs) * costs.c_wire
    )
    assert t_column(matrix, hardware, light) < 1.01 * hardware.dac.t_slot  # the solver is asked, and finds less
    assert t_gates(matrix, hardware, heavy) > hardware.gate_dac.t_settle
    usual, late = (phases(program, "conv", each)["read"] for each in (costs, heavy))
    added = t_column(program.matrices["conv"][0], hardware, heavy) - hardware.dac.t_slot
    assert late - usual == pytest.approx(30 * added, rel=0.1)
    assert t_column(matrix, hardware.idealised(), heavy) == 0.0


# area


def test_area__of_a_tile_by_hand(program):
    """3 arrays of 16 × 8 cells of 80 nm, one converter for 4 pairs, 48 row drivers, 6 gate drivers."""
    costs = program.hardware.costs
    (matrix,) = program.matrices["mixed"]
    found = tile_area(matrix, program, costs)
    driver = component("row_dac", costs.node).area
    rows = 2 * 8 * component("register", costs.node).area + component("row_pulse", costs.node).area
    assert tuple(found) == AREAS
    assert found["cells"] == pytest.approx(3 * 128 * 6.4e-15, rel=1e-12, abs=0.0)
    assert found["adc"] == pytest.approx(area_survey(8, 1e8, 22.0), rel=1e-9, abs=0.0)
    assert found["drivers"] == pytest.approx(48 * rows, rel=1e-12, abs=0.0)
    assert found["gates"] == pytest.approx(6 * driver, rel=1e-12, abs=0.0)
    factor = component("multiplier", costs.node).area / 16
    assert found["digital"] == pytest.approx(component("shift_add", costs.node).area + factor, rel=1e-12, abs=0.0)
    assert found["control"] == pytest.approx(16 * component("register", costs.node).area, rel=1e-12, abs=0.0)
    isaac = tile_area(matrix, program, dataclasses.replace(costs, adc_model="isaac"))
    assert isaac["adc"] == pytest.approx(area_isaac(8, 22.0), rel=1e-9, abs=0.0)


def test_area__of_layers_adds_up_over_tiles(program):
    costs = program.hardware.costs
    tiles = arrays(program, costs)
    assert len(tiles) == sum(len(matrix.tiles) for matrix in program.all_matrices)
    for name in ("conv", "mixed", "side", "fc"):
        found = layer_area(program, name, costs)
        mine = {matrix.name for matrix in program.of(name)}
        own = sum(each.area_m2 for each in tiles if each.matrix in mine)
        assert sum(found.values()) - found["buffers"] == pytest.approx(own, rel=1e-12, abs=0.0)
        whole = sum(each.utilisation * each.arrays for each in tiles if each.matrix in mine)
        assert whole / sum(each.arrays for each in tiles if each.matrix in mine) == pytest.approx(
            program.utilisation(name), rel=1e-12
        )
    bits = 2 * 8 * 2 * 6 * 5  # the input map, twice
    buffer = layer_area(program, "conv", costs)["buffers"]
    assert buffer == pytest.approx(bits / (64 * 1024 * 8) * component("edram", costs.node).area, rel=1e-12, abs=0.0)


def test_area__copies_multiply_it(program):
    costs = program.hardware.costs
    more = compiled("tile.rows=16", "tile.columns=8", "mapping.copies.mixed=3")
    once, thrice = (layer_area(each, "mixed", costs) for each in (program, more))
    attention = sum(
        sum(tile_area(matrix, program, costs).values()) * len(matrix.tiles)
        for matrix in program.matrices["mixed.attention"]
    )
    own = sum(once.values()) - once["buffers"] - attention
    assert sum(thrice.values()) - sum(once.values()) == pytest.approx(2 * own, rel=1e-9, abs=0.0)
    assert math.isfinite(sum(thrice.values()))
    assert isinstance(more.matrices["mixed"][0], Matrix)
