"""Refresh, retention and the lost point in reports: counts by hand, the cells of a chip, runs at the found number."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices.cells.presets import PRESETS
from devices.measurements.summary import worst_retention
from devices.noise.read_noise import ReadNoise
from devices.writing.spread import Spread
from mapping.chips.chip import write_arrays
from mapping.chips.read_limits import LIMIT, followed_cells, layers_to, retention_in_use
from mapping.hardware.description_files import load_hardware
from mapping.hardware.retention import Retention
from mapping.inference.running import run
from mapping.networks import Conv, GlobalAveragePool, Linear, Network
from mapping.prices.refresh import images_to_limit
from mapping.report.keeping_texts import keeping_rows, state_of_chip
from mapping.report.pricing import price_estimate
from mapping.workflow.compiling import compile_network
from mapping.workflow.lost_point import images_until_lost
from mapping.workflow.writing import new, write
from tests.small_networks import joined


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).random((24, 2, 6, 5))


@pytest.fixture(scope="module")
def program(images):
    chip = load_hardware("adaptive2d").with_values(["retention.refresh_change=0"])
    return compile_network(joined(np.random.default_rng(4)), chip, images)


def on(program, *settings):
    return replace(program, hardware=program.hardware.with_values(settings))


def static():
    """A network without dynamic layers."""
    rng = np.random.default_rng(4)
    conv, fc = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(3, 4))
    layers = (Conv("conv", ("input",), conv), GlobalAveragePool("pool", ("conv",)), Linear("fc", ("pool",), fc))
    return Network("static", (2, 6, 5), tuple("abc"), layers)


def cells(program):
    """Cells in use: two for each weight of each kernel."""
    return sum(matrix.conductances.size for matrix in program.all_matrices)


def test_refresh__costs_the_writes_of_all_cells(program, images):
    once, again = (price_estimate(each, images[:4]) for each in (program, on(program, "retention.refresh_images=500")))
    costs = program.hardware.costs
    writes = cells(program) * costs.e_write / 500
    rows = max(tile.shape[0] for matrix in program.all_matrices for tile in matrix.tiles)
    interval = 1.0 / once.images_per_s
    pace = interval + rows * costs.t_write / 500
    assert again.images_per_s == pytest.approx(1.0 / pace, rel=1e-12)
    leaked = once.leakage_J_per_image * (pace / interval - 1.0)  # the area leaks while it is written as well
    assert again.energy_J_per_image == pytest.approx(once.energy_J_per_image + writes + leaked, rel=1e-12)
    by_layer = sum(layer.energy_by_component_J["writes"] for layer in again.layers)
    assert by_layer == pytest.approx(writes, rel=1e-12)
    assert again.keeping.refresh_J_per_image == pytest.approx(writes, rel=1e-12)
    assert again.keeping.refresh_images == 500
    assert again.lifetime_s == pytest.approx(2e4 * 500 * pace, rel=1e-12)
    assert again.keeping.worn_out_s == pytest.approx(again.lifetime_s, rel=1e-12)
    for layer in again.layers:
        assert layer.writes_per_day == pytest.approx(86400.0 / (500 * pace), rel=1e-12)
    assert (once.keeping.refresh_images, once.keeping.refresh_J_per_image, once.lifetime_s) == (None, 0.0, None)
    assert once.keeping.once_J == pytest.approx(cells(program) * costs.e_write, rel=1e-12)


def test_refresh__by_time_is_that_by_images(program, images):
    pace = price_estimate(program, images[:4]).images_per_s
    timed = price_estimate(on(program, "retention.refresh_time=0.01"), images[:4]).keeping
    assert timed.refresh_images == pytest.approx(0.01 * pace, rel=1e-12)
    slow = price_estimate(on(program, "retention.refresh_time=0.01", "retention.rate=1000.0"), images[:4]).keeping
    assert slow.refresh_images == pytest.approx(10.0, rel=1e-12)
    both = price_estimate(on(program, "retention.refresh_time=1.0", "retention.refresh_images=7"), images[:4]).keeping
    assert both.refresh_images == 7.0


def test_refresh__leaves_out_what_is_rewritten_for_each_image(program, images):
    chip = load_hardware("adaptive2d").with_values(
        ["mapping.layout=reprogram", "retention.refresh_images=500", "retention.refresh_change=0"]
    )
    report = price_estimate(compile_network(program.network, chip, images[:4]), images[:4])
    writes = {layer.name: layer.writes_per_day for layer in report.layers}
    assert writes["mixed"] == pytest.approx(500.0 * writes["conv"], rel=1e-12)
    assert report.lifetime_s == pytest.approx(2e4 / report.images_per_s, rel=1e-12)


def test_images_to_limit__moves_the_cells_of_a_chip_by_the_limit(images):
    """On a chip without variability, whose cells are all followed, reads of so many images move one layer by 1 %."""
    chip = replace(load_hardware("adaptive2d"), spread=Spread.none(), noise=ReadNoise.none(), retention=Retention())
    program = compile_network(joined(np.random.default_rng(4)), chip, images[:8])
    layer, count = images_to_limit(program)
    moved = {}
    worn = on(program, f"retention.images={count!r}")
    for name in program.matrices:
        for matrix in program.matrices[name]:
            one, other = (write_arrays(each).written(matrix, 0).g_filament for each in (new(worn), worn))
            moved[name] = np.abs(one - other).mean() / chip.cell.g_max
    assert moved[layer] == pytest.approx(LIMIT, rel=0.05)
    assert max(moved, key=moved.get) == layer


def test_images_to_limit__lower_voltages_narrower_gates_and_no_gate_last_longer(program, images):
    wide = load_hardware("adaptive2d").with_values(["dac.v_read=0.1", "cell.v_gate_max=4.0"])
    _, base = images_to_limit(compile_network(program.network, wide, images))
    lower = compile_network(program.network, wide.with_values(["dac.v_read=0.05"]), images)
    assert images_to_limit(lower)[1] > 4.0 * base
    narrow = wide.with_values(["cell.v_gate_max=2.0"])
    assert images_to_limit(compile_network(program.network, narrow, images))[1] > 2.0 * base
    warm = images_to_limit(on(program, "retention.temperature=350"))[1]
    assert warm < 0.1 * images_to_limit(program)[1]
    counts = [images_to_limit(compile_network(static(), chip, images))[1] for chip in ("adaptive2d", "two_terminal")]
    assert counts[1] > 20.0 * counts[0]


def test_refresh_change__is_the_refresh_after_the_images_that_move_a_layer_so_far(program, images):
    """The default chip is written again when its fastest layer has moved by 0.2 %, and a run finds it so at the end."""
    default = on(program, "retention.refresh_change=0.002")
    by_layer = layers_to(followed_cells(program), 0.002)
    kept = price_estimate(default, images[:4]).keeping
    assert kept.refresh_images == min(by_layer.values())
    assert kept.refresh_layer == min(by_layer, key=by_layer.get)
    assert kept.refresh_change == pytest.approx(0.002, rel=0.03)
    assert kept.refresh_J_per_image == pytest.approx(kept.once_J / kept.refresh_images, rel=1e-12)
    assert kept.refresh_images < kept.images_to_limit
    slow = price_estimate(on(default, "retention.rate=30"), images[:4])
    assert slow.keeping.worn_out_s == pytest.approx(2e4 * kept.refresh_images / 30.0, rel=1e-12)
    assert "at 30 images/s" in dict(keeping_rows(slow, slow.keeping))["refresh"]
    number = price_estimate(on(program, f"retention.refresh_images={kept.refresh_images!r}"), images[:4])
    assert number.keeping == kept
    sooner = on(default, "retention.refresh_images=7")
    assert price_estimate(sooner, images[:4]).keeping.refresh_images == 7.0
    assert retention_in_use(on(sooner, "retention.images=1e12")).since_writing == (0.0, 7.0)
    worn = on(default, "retention.images=1e12")
    one, two, three = (
        write_arrays(each).written(each.matrices["mixed"][0], 0).g_filament
        for each in (worn, on(program, f"retention.images={kept.refresh_images!r}"), program)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, three)
    assert retention_in_use(default) is default.hardware.retention  # no image was read


def test_refresh_change__does_not_act_before_a_period_is_over(program):
    few = on(program, "retention.refresh_change=0.002", "retention.images=10")
    assert retention_in_use(few).since_writing == (0.0, 10.0)


def test_report__says_in_which_state_the_chip_was_read(program, images):
    for settings, words in (
        ((), "when new"),
        (("retention.refresh_change=0.002",), "when new"),
        (("retention.images=1000",), "after 1,000 images"),
        (("retention.refresh_images=500", "retention.images=500"), "just before a refresh"),
        (("retention.age=7200",), "after 2 hours"),
        (("retention.age=7200", "retention.rate=1"), "after 7,200 images and 2 hours"),
    ):
        assert state_of_chip(price_estimate(on(program, *settings), images[:2])) == words
    report = price_estimate(on(program, "retention.refresh_change=0.002"), images[:4])
    rows = dict(keeping_rows(report, report.keeping))
    assert f"have moved those of {report.keeping.refresh_layer} by 0.20 % of g_max on average" in rows["refresh"]


def test_images_to_limit__cells_without_a_state_are_never_moved(images):
    chip = load_hardware("two_terminal").with_values(["cell.preset=resistor"])
    program = compile_network(static(), chip, images[:4])
    assert images_to_limit(program) == (None, math.inf)
    kept = price_estimate(program, images[:4]).keeping
    assert (kept.at_rest_s, kept.needed_images, kept.needed_J_per_image) == (math.inf, math.inf, 0.0)
    assert "300 years" in dict(keeping_rows(price_estimate(program, images[:4]), kept))["retention"]


def test_volatile__says_how_long_its_weights_last_and_prices_their_refresh(program, images):
    chip = load_hardware("volatile2d").with_values(["retention.refresh_change=0"])
    volatile = compile_network(program.network, chip, images)
    report = price_estimate(volatile, images[:4])
    seconds, state = worst_retention(PRESETS["adaptive_2d_volatile"]())
    assert (report.keeping.at_rest_s, report.keeping.at_rest_state) == (seconds, state)
    assert seconds < 1.0
    assert report.keeping.needed_images <= seconds * report.images_per_s * (1 + 1e-12)
    assert report.keeping.needed_J_per_image == pytest.approx(
        cells(program) * 2.5e-12 / report.keeping.needed_images, rel=1e-9
    )
    rows = dict(keeping_rows(report, report.keeping))
    assert "keep their weights for" in rows["retention"]
    assert "would take" in rows["refresh"]
    default = price_estimate(on(volatile, "retention.refresh_change=0.002"), images[:4])
    assert default.keeping.needed_images < default.keeping.refresh_images
    assert "at rest they would need it every" in dict(keeping_rows(default, default.keeping))["refresh"]
    warm = price_estimate(on(volatile, "retention.temperature=350"), images[:4])
    factor = math.exp(0.4 / 8.617333262e-5 * (1 / 350 - 1 / 300))
    assert warm.keeping.at_rest_s == pytest.approx(seconds * factor, rel=5e-3)  # a chord of a twentieth of a decade


def test_images_until_lost__is_where_the_chip_loses_the_point(program, images):
    exact = program.folded.forward(images)
    labels = exact.argmax(1)
    found = images_until_lost(program, images, labels, 1)
    fresh = write(new(program), 1)

    def right(count):
        chip = write(on(program, f"retention.images={count!r}"), 1)
        return run(chip, images, seed=1).accuracy(labels)[0]

    before = run(fresh, images, seed=1).accuracy(labels)[0]
    assert right(found) <= before - 0.01
    assert right(found / 1.1) > before - 0.01


def test_run__until_lost_is_in_the_report_and_on_the_terminal(crossgate, model):
    status, out, _ = crossgate("run", model, "--chip", "two_terminal", "--images", 6, "--out", "o", "--until-lost")
    assert status == 0
    assert "one point of accuracy" in out
    report = json.loads(Path("o/report.json").read_text())["keeping"]
    assert report["images_until_lost"] == "inf" or report["images_until_lost"] > 0.0
    assert "Retention and read disturb" in Path("o/report.html").read_text(encoding="utf-8")
