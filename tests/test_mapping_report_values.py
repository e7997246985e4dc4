"""Reports: sums, prices and latencies by hand, and the files."""

import csv
import dataclasses
import io
import itertools
import json
import math

import numpy as np
import pytest

from crossbar.prices.adc_models import ADC_MODELS
from crossbar.prices.costs import Costs
from crossbar.prices.row_drivers import TIMERS
from crossbar.prices.technology import WIRE_MODELS
from devices.errors import ParameterError
from mapping.files.whole_files import check_folder
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.networks import Attention, Conv, DynamicConv, GlobalAveragePool, Linear, Network, Relu
from mapping.presentation.colours import COLOURS
from mapping.prices.area import ArrayReport
from mapping.prices.refresh import Keeping
from mapping.prices.timing import latency
from mapping.prices.yardsticks import Compared
from mapping.report.plots import plot_energy, plot_error, plot_latency
from mapping.report.pricing import price
from mapping.report.report import Report
from mapping.report.values import COMPONENTS, LayerReport
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

KEYS = {"model", "chip", "seed", "images", "accuracy_chip", "accuracy_exact", "energy_J_per_image",
        "latency_s_per_image", "layers"}  # fmt: skip
LAYER_KEYS = {"name", "kind", "tiles", "error", "energy_J", "latency_s"}


def network(rng):
    """conv (signed) -> relu -> dynamic -> pool -> linear on maps of 6 × 5."""
    layers = (
        Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), padding=(1, 1)),
        Relu("relu", ("conv",)),
        DynamicConv(
            "mixed", ("relu",), rng.normal(size=(3, 5, 4, 3, 3)), rng.normal(size=(3, 5)), (1, 1), (0, 0), (1, 1), 1,
            Attention(rng.normal(size=(2, 4)), rng.normal(size=2), rng.normal(size=(3, 2)), None),
        ),
        GlobalAveragePool("pool", ("mixed",)),
        Linear("fc", ("pool",), rng.normal(size=(3, 5))),
    )  # fmt: skip
    return Network("small", (2, 6, 5), tuple("abc"), layers)


def simulated(hardware, count=6):
    rng = np.random.default_rng(8)
    exact = network(rng)
    images = rng.normal(size=(count, 2, 6, 5))
    program = compile_network(exact, hardware, images[:4])
    return run(write(program, 2), images, seed=2), rng.integers(0, 3, count)


@pytest.fixture(scope="module")
def result():
    return simulated(Hardware().with_values(["tile.rows=16", "tile.columns=8"]))[0]


@pytest.fixture(scope="module")
def labels():
    return simulated(load_hardware("ideal"))[1]


@pytest.fixture(scope="module")
def report(result, labels):
    return price(result, labels)


# sums


def test_totals__are_the_sums_of_the_layers(report):
    on_tiles = sum(layer.energy_J for layer in report.layers)
    assert report.energy_J_per_image == pytest.approx(on_tiles + report.energy_between_J_per_image, rel=1e-12)
    digital = 2 * report.configuration["costs"]["t_digital"]  # relu and pool, a step each
    assert report.latency_s_per_image == pytest.approx(
        sum(layer.latency_s for layer in report.layers) + digital, rel=1e-12
    )
    assert report.operations_per_image == sum(layer.operations for layer in report.layers)
    assert report.tiles == sum(layer.tiles for layer in report.layers) == sum(each.arrays for each in report.arrays)
    assert report.area_m2 == pytest.approx(sum(layer.area_m2 for layer in report.layers), rel=1e-12, abs=0.0)
    assert sum(report.area_by_component_m2.values()) == pytest.approx(report.area_m2, rel=1e-12, abs=0.0)
    assert sum(report.energy_shares.values()) == pytest.approx(1.0, rel=1e-12)
    pace = max(layer.interval_s for layer in report.layers) + report.keeping.refresh_s_per_image
    assert report.images_per_s == pytest.approx(1.0 / pace, rel=1e-12)
    assert report.leakage_J_per_image == pytest.approx(13.8 * report.area_m2 / report.images_per_s, rel=1e-12, abs=0.0)
    for layer in report.layers:
        assert layer.area_m2 == pytest.approx(sum(layer.area_by_component_m2.values()), rel=1e-12, abs=0.0)
    for layer in report.layers:
        assert layer.energy_J == pytest.approx(sum(layer.energy_by_component_J.values()), rel=1e-12)
        assert tuple(layer.energy_by_component_J) == COMPONENTS
        assert all(value >= 0.0 for value in layer.energy_by_component_J.values())


def test_operations__by_hand(report):
    by_layer = {layer.name: layer.operations for layer in report.layers}
    assert by_layer == {
        "conv": 2 * 30 * 18 * 4, "mixed": 2 * (12 * 36 * 5 + 4 * 2 + 2 * 3), "fc": 2 * 5 * 3
    }  # fmt: skip
    assert report.tops_per_watt == pytest.approx(
        report.operations_per_image / report.energy_J_per_image * 1e-12, rel=1e-12
    )
    # both signs into conv and fc, three kernels of mixed
    executed = 2 * (2 * 30 * 18 * 4 + 3 * 12 * 36 * 5 + 4 * 2 + 2 * 3 + 2 * 5 * 3)
    assert report.operations_executed_per_image == executed
    assert report.tops_per_watt_executed == pytest.approx(executed / report.energy_J_per_image * 1e-12, rel=1e-12)
    array = sum(layer.energy_by_component_J["array"] for layer in report.layers)
    assert report.tops_per_watt_array == pytest.approx(report.operations_per_image / array * 1e-12, rel=1e-12)
    low, high = report.energy_band_J_per_image
    assert report.tops_per_watt_band == pytest.approx(
        (report.operations_per_image / high * 1e-12, report.operations_per_image / low * 1e-12), rel=1e-12
    )


def test_comparison__by_hand(report):
    """A card at its peak: power over rate; 20 W over 1e14 to 1e16 synaptic operations of two operations each."""
    found = {each.name: each for each in report.comparison}
    operations, energy = report.operations_per_image, report.energy_J_per_image
    assert found["H100, INT8"].energy_J[0] == pytest.approx(operations * 700.0 / 1979e12, rel=1e-12, abs=0.0)
    assert found["V100, FP16"].ratio[1] == pytest.approx(operations * 2.4e-12 / energy, rel=1e-12)
    assert found["brain"].energy_J == pytest.approx((operations * 1e-15, operations * 100e-15), rel=1e-12, abs=0.0)
    assert found["NeuRRAM, 6 bits in, 8 out"].energy_J[0] == pytest.approx(operations / 9.122e12, rel=1e-12, abs=0.0)
    assert all(each.source and each.kind in ("gpu", "brain", "chip") for each in report.comparison)


def test_gates__cost_where_there_are_gates_only(report):
    """Gates of static layers are held open: they take what leaks through them, and nothing where nothing leaks."""
    gates = {layer.name: layer.energy_by_component_J["gates"] for layer in report.layers}
    assert 0.0 < gates["fc"] < gates["conv"] < 1e-3 * gates["mixed"]
    tight = Hardware().with_values(["tile.rows=16", "tile.columns=8", "cell.g_gate_leak=0"])
    gates = {each.name: each.energy_by_component_J["gates"] for each in price(simulated(tight)[0]).layers}
    assert gates["mixed"] > 0.0
    assert gates["conv"] == gates["fc"] == 0.0


def test_layers__are_those_with_tiles(report):
    assert [(layer.name, layer.kind) for layer in report.layers] == [
        ("conv", "conv"), ("mixed", "dynamic conv"), ("fc", "linear")
    ]  # fmt: skip
    assert [layer.tiles for layer in report.layers] == [2, 3 * 3 * 2 + 1 + 1, 1]
    assert report.layers[0].utilisation == 18 * 8 / (2 * 16 * 8)
    assert report.layers[0].attention_entropy is None


def test_attention__entropy_and_deviation_by_hand(result, report):
    trace = next(layer for layer in result.layers if layer.name == "mixed")
    shares = trace.attention
    assert report.layers[1].attention_entropy == pytest.approx(
        -np.mean(np.sum(shares * np.log(np.maximum(shares, 1e-300)), axis=1)) / math.log(3), rel=1e-9
    )
    assert report.layers[1].attention_deviation == pytest.approx(np.mean(np.std(shares, axis=0)), rel=1e-12)


def test_accuracy__is_of_the_labels(result, labels, report):
    assert report.accuracy_chip == np.mean(result.logits.argmax(1) == labels)
    assert report.accuracy_exact == np.mean(result.exact.argmax(1) == labels)
    bare = price(result)
    assert bare.accuracy_chip is bare.accuracy_exact is None
    assert dataclasses.replace(bare, accuracy_chip=report.accuracy_chip, accuracy_exact=report.accuracy_exact) == report


def test_between__layers_without_matrices_cost_what_they_do(result, report):
    """relu on 4 × 30 values compares; the pool adds 5 maps of 12 and scales; priced again at another node."""
    costs = report.configuration["costs"]
    relu, pool = 120 * costs["e_compare"] / 40e-9, 5 * 11 * costs["e_add"] / 32e-9 + 5 * costs["e_multiply"] / 40e-9
    assert report.energy_between_J_per_image == pytest.approx((relu + pool) * costs["node"], rel=1e-12, abs=0.0)
    old = result.chip.program.hardware.costs
    double = price(result, costs=dataclasses.replace(old, node=2 * old.node))
    assert double.energy_between_J_per_image == pytest.approx(2 * report.energy_between_J_per_image, rel=1e-12, abs=0.0)


# prices


def test_price__twice_with_other_costs_changes_no_count(result, report):
    before = [layer.activity for layer in result.layers]
    costs = Costs(node=7e-9, adc_model="isaac", e_add=1e-9, t_digital=5e-9)
    dear = price(result, costs=costs)
    assert [layer.activity for layer in result.layers] == before
    assert dear.energy_J_per_image != report.energy_J_per_image
    assert dear.latency_s_per_image > report.latency_s_per_image
    for one, two in zip(dear.layers, report.layers, strict=True):
        for name in ("tiles", "operations", "error", "own_error", "utilisation", "attention_entropy"):
            assert getattr(one, name) == getattr(two, name)
        assert one.energy_by_component_J["array"] == two.energy_by_component_J["array"]
    assert dear.configuration["costs"]["adc_model"] == "isaac"
    assert price(result).energy_J_per_image == report.energy_J_per_image  # and the first price stands


def test_price__doubles_what_costs_double(result, report):
    costs = result.chip.program.hardware.costs
    doubled = price(result, costs=dataclasses.replace(costs, e_add=2 * costs.e_add, e_multiply=2 * costs.e_multiply))
    for one, two in zip(doubled.layers, report.layers, strict=True):
        for component in COMPONENTS:
            factor = 2.0 if component == "digital" else 1.0
            assert one.energy_by_component_J[component] == pytest.approx(factor * two.energy_by_component_J[component])


def test_band__spans_the_converter_models(result, report):
    """Of converters and wires, each with others: what a cheaper one saves is saved at the lower end as well."""
    low, high = report.energy_band_J_per_image
    costs = result.chip.program.hardware.costs
    each = [
        price(result, costs=dataclasses.replace(costs, adc_model=a, wire_model=w, row_timer=t)).energy_J_per_image
        for a, w, t in itertools.product(ADC_MODELS, WIRE_MODELS, TIMERS)
    ]
    sums = {name: sum(layer.energy_by_component_J[name] for layer in report.layers) for name in COMPONENTS}
    leaked, references = sums["leakage"], 0.2 * sums["adc"]
    least, most = min(each) - low, high - max(each)
    assert 0.0 < least < sums["clock"] + sums["control"] + leaked + references
    assert most > 0.0
    assert low < report.energy_J_per_image < high
    assert report.leakage_J_per_image == leaked


def test_price__of_the_converters_by_hand(result, report):
    costs, adc = result.chip.program.hardware.costs, result.chip.program.hardware.adc
    conversions = 2 * 2 * 30 * 4  # both signs, rows 9 + 9, 30 positions, 4 outputs
    energy = report.layers[0].energy_by_component_J["adc"]
    assert energy == pytest.approx(1.25 * conversions * costs.conversion(adc, "survey"), rel=1e-12)


def test_parts__of_the_user_enter_energy_time_area_and_leakage(result, report):
    """Two for each tile, acting thrice for each conversion; relu's comparisons are acted for by another."""
    costs = result.chip.program.hardware.costs
    base = {"action": "one", "node": costs.node, "source": "ours"}
    mine = base | {
        "counts": "conversions", "times": 3.0, "energy": [1e-13, 2e-13, 4e-13], "latency": 1e-7, "area": 1e-10,
        "leakage": 1e-6, "instances": 2, "each": "tile",
    }  # fmt: skip
    other = base | {"counts": "comparisons", "energy": 1e-14, "latency": 1e-9, "area": 3e-12}
    found = price(result, costs=dataclasses.replace(costs, parts={"mine": mine, "other": other}))
    tiles = {"conv": 2, "mixed": 6 + 2, "fc": 1}
    conversions = {trace.name: trace.activity.conversions for trace in result.layers}
    pace = 1.0 / found.images_per_s
    for layer, plain in zip(found.layers, report.layers, strict=True):
        count, actions = 2 * tiles[layer.name], 3 * conversions[layer.name]
        energy = actions * 2e-13 + count * 1e-6 * pace
        assert layer.energy_by_component_J["parts"] == pytest.approx(energy, rel=1e-9, abs=0.0)
        assert plain.energy_by_component_J["parts"] == 0.0
        read = max(plain.latency_by_phase_s["read"], math.ceil(actions / count) * 1e-7) + 1e-7
        assert layer.latency_by_phase_s["read"] == pytest.approx(read, rel=1e-9, abs=0.0)
        assert layer.area_m2 - plain.area_m2 == pytest.approx(count * 1e-10, rel=1e-6, abs=0.0)
    first, second = found.parts
    assert (first.instances, first.actions) == (22, pytest.approx(3 * sum(conversions.values()), rel=1e-12))
    assert (second.instances, second.actions) == (1, 120.0)
    assert second.energy_band_J == (second.energy_J,) * 2 == pytest.approx((1.2e-12,) * 2, rel=1e-12, abs=0.0)
    between = found.energy_between_J_per_image - report.energy_between_J_per_image
    assert between == pytest.approx(1.2e-12, rel=1e-9, abs=0.0)
    assert found.area_m2 - report.area_m2 == pytest.approx(22e-10 + 3e-12, rel=1e-6, abs=0.0)
    low, high = (b - a for a, b in zip(found.energy_band_J_per_image, report.energy_band_J_per_image, strict=True))
    assert low < 0.0 > high
    assert sum(found.energy_shares.values()) == pytest.approx(1.0, rel=1e-12)
    assert "our" in found.to_html()
    assert json.loads(found.to_json())["parts"][0]["name"] == "mine"


# latency

T_SLOT, T_ADC, T_DIGITAL, T_GATE = 1e-9, 10e-9, 1e-9, 10e-9


@pytest.mark.parametrize(
    ("settings", "conv", "mixed", "fc"),
    [
        # 255 slots of 1 ns are longer than 4 conversions of 10 ns: reads set the pace, the last conversion follows.
        # conv: 30 positions of both signs; two pieces of rows and a bias are two sums.
        # mixed: FC reads of positive inputs, 1 position each, 2 and 3 outputs; softmax and inverse law 4 steps; gates;
        # 12 positions of 5 outputs in two pieces (3 at most), 36 rows in 3 pieces: two sums.
        (
            [], 60 * 255 + 40 + 2,
            (255 + 20 + 1) + (255 + 30 + 1) + 4 + 10 + (12 * 255 + 30 + 2), 2 * 255 + 30 + 1,
        ),
        # bit-serial: 8 reads of a slot; conversions set the pace, the first read precedes them.
        (
            ["dac.coding=bit-serial"], 60 * 8 * 40 + 1 + 2,
            (8 * 20 + 1 + 1) + (8 * 30 + 1 + 1) + 4 + 10 + (12 * 8 * 30 + 1 + 2), 2 * 8 * 30 + 1 + 1,
        ),
        # one converter per pair
        (
            ["dac.coding=amplitude", "adc.columns=1"], 60 * 10 + 1 + 2,
            (10 + 1 + 1) + (10 + 1 + 1) + 4 + 10 + (12 * 10 + 1 + 2), 2 * 10 + 1 + 1,
        ),
        # amplifiers that settle for 100 ns make each read that much longer
        (
            ["sense.t_settle=100e-9"], 60 * 355 + 40 + 2,
            (355 + 20 + 1) + (355 + 30 + 1) + 4 + 10 + (12 * 355 + 30 + 2), 2 * 355 + 30 + 1,
        ),
    ],
    ids=["pulse-width", "bit-serial", "amplitude", "settling"],
)  # fmt: skip
def test_latency__by_hand(settings, conv, mixed, fc):
    usual = ["tile.rows=16", "tile.columns=8", "dac.t_slot=1e-9", "sense.t_settle=0"]
    hardware = Hardware().with_values([*usual, *settings])
    rng = np.random.default_rng(8)
    program = compile_network(network(rng), hardware, rng.normal(size=(4, 2, 6, 5)))
    assert [matrix.signed for matrix in program.of("mixed")] == [False, False, False]
    assert program.matrices["fc"][0].signed
    found = [latency(program, name, hardware.costs) * 1e9 for name in ("conv", "mixed", "fc", "relu")]
    assert found == pytest.approx([conv, mixed, fc, 0.0], rel=1e-12)


# files


def test_json__has_the_keys_that_others_read(report):
    held = json.loads(report.to_json())
    assert set(held) >= KEYS
    assert all(set(layer) >= LAYER_KEYS for layer in held["layers"])
    assert held["model"] == "small"
    assert held["chip"] == "adaptive2d"
    assert (held["seed"], held["images"]) == (2, 6)
    assert held["energy_J_per_image"] == report.energy_J_per_image
    assert held["layers"][1]["energy_J"] == report.layers[1].energy_J
    assert held["configuration"]["wires"]["r_row"] == 1.06
    assert held["configuration"]["wires"]["r_driver_far"] == "inf"
    assert set(held["versions"]) >= {"crossgate", "python", "numpy", "numba", "scipy"}


def test_json__is_strict_even_with_infinities():
    text = price(simulated(load_hardware("ideal"), 2)[0]).to_json()
    assert "Infinity" not in text
    assert "NaN" not in text
    assert json.loads(text)["configuration"]["cell"]["v_0"] == "inf"


def test_csv__has_one_row_per_layer(report):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["name"] for row in rows] == ["conv", "mixed", "fc"]
    for row, layer in zip(rows, report.layers, strict=True):
        assert float(row["energy_J"]) == layer.energy_J
        assert sum(float(row[f"energy_{name}_J"]) for name in COMPONENTS) == pytest.approx(layer.energy_J)
        assert float(row["latency_s"]) == layer.latency_s
        assert int(row["tiles"]) == layer.tiles


def test_save__writes_four_files_and_nothing_else(report, tmp_path):
    out = tmp_path / "deep" / "out"
    paths = report.save(out)
    assert sorted(paths) == sorted(out.iterdir())
    assert [path.name for path in paths] == ["report.json", "report.csv", "report.html", "layers.png"]
    assert (out / "report.json").read_text(encoding="utf-8") == report.to_json() + "\n"
    assert (out / "report.csv").read_text(encoding="utf-8") == report.to_csv()
    before = (out / "layers.png").read_bytes()
    assert before[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(before[at : at + 4], "big") for at in (16, 20))
    assert 1000 < width < 4000
    assert 300 < height < 2000
    assert 10_000 < len(before) < 1_000_000
    report.save(out)  # over the old ones
    assert sorted(paths) == sorted(out.iterdir())


def test_save__below_a_file_is_refused(report, tmp_path):
    (tmp_path / "file").write_text("")
    for call in (report.save, check_folder):
        with pytest.raises(ParameterError, match=r"cannot write to .*file.below: Not a directory; give a folder"):
            call(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == ""


def test_save__over_a_folder_of_that_name_is_refused(report, tmp_path):
    (tmp_path / "report.json").mkdir()
    with pytest.raises(ParameterError, match=r"cannot write to .*; give a folder that can be written"):
        report.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_check_folder__makes_nothing(tmp_path):
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path)
    assert not list(tmp_path.iterdir())


def test_report__of_a_network_without_matrices(tmp_path):
    """Nothing lies on tiles: no layers, the energy of the pool alone, files all the same."""
    exact = Network("pool", (3, 4, 4), tuple("abc"), (GlobalAveragePool("pool", ("input",)),))
    images = np.random.default_rng(1).random((2, 3, 4, 4))
    report = price(run(write(compile_network(exact, Hardware(), images)), images))
    assert report.layers == ()
    assert report.tops_per_watt == 0.0
    costs = Costs()
    pool = (3 * 15 * costs.e_add / 32e-9 + 3 * costs.e_multiply / 40e-9) * costs.node
    assert report.energy_J_per_image == report.energy_between_J_per_image == pytest.approx(pool, rel=1e-12, abs=0.0)
    assert report.to_csv().count("\n") == 1
    assert len(report.save(tmp_path)) == 4


# figures


def test_plots__draw_what_the_report_says(report):
    axes = plot_energy(report)
    drawn = [name for name in COLOURS if any(layer.energy_by_component_J[name] for layer in report.layers)]
    heights = {name: [bar.get_height() for bar in part] for name, part in zip(drawn, axes.containers, strict=True)}
    assert set(COLOURS) == set(COMPONENTS)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == drawn
    for i, layer in enumerate(report.layers):
        assert sum(each[i] for each in heights.values()) == pytest.approx(layer.energy_J * 1e9)
    errors = plot_error(report)
    assert [bar.get_height() for bar in errors.containers[1]] == pytest.approx([100 * r.error for r in report.layers])
    times = plot_latency(report)
    latencies = [1e6 * layer.latency_s for layer in report.layers]
    heights = [
        sum(bars) for bars in zip(*([bar.get_height() for bar in part] for part in times.containers), strict=True)
    ]
    assert heights == pytest.approx(latencies)


def test_plots__draw_on_given_axes(report):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert plot_energy(report, ax) is ax
    assert plot_error(report, ax) is ax
    assert plot_latency(report, ax) is ax


def test_report__is_a_value(report):
    names = {each.__name__: each for each in (Report, LayerReport, ArrayReport, Compared, Keeping)}
    assert eval(repr(report), names | {"inf": math.inf}) == report  # noqa: S307
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.seed = 3
