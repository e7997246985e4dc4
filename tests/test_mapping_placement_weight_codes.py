"""Weights in slices, levels and offset columns: exact on the ideal chip, counted, priced, refused where impossible."""

import dataclasses
import itertools
from dataclasses import replace

import numpy as np
import pytest

from crossbar.tiles.converters import Adc
from devices.errors import MappingError, ParameterError
from mapping import Hardware, compile_network, load_hardware, price, price_estimate, run, write
from mapping.chips.cells import write_tile
from mapping.hardware.description import TileShape
from mapping.hardware.weight_code import WeightCode
from mapping.networks import Conv, DynamicConv, Flatten, Linear, Network, Relu
from mapping.placement.coded_weights import CLIPS, window_of
from mapping.placement.encoding import cancel_floor, gate_floor
from mapping.prices.estimates import estimate, histograms
from mapping.studies.layer_support import EXPECTED, _arranged
from tests.small_networks import joined

SHAPE = ["tile.rows=12", "tile.gate_nodes=6"]
#: encoding, slices, levels
CODES = [
    ("differential", 1, 2), ("differential", 1, 16), ("differential", 2, 4), ("differential", 4, 2),
    ("offset", 1, None), ("offset", 1, 2), ("offset", 1, 3), ("offset", 2, 4), ("offset", 3, 3), ("offset", 8, 2),
]  # fmt: skip


def keys(encoding, slices, levels):
    held = [f"tile.encoding={encoding}", f"tile.slices={slices}", "tile.columns=34", *SHAPE]
    return held if levels is None else [*held, f"tile.levels={levels}"]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).normal(size=(5, 2, 6, 5))  # of both signs


def slow_rounded(w, encoding, slices, levels):
    """Weights (k, r, n) as their cells hold them, one number after another, each output with its best scale."""
    if levels is None:
        return w
    steps = levels**slices - 1
    out = np.empty(w.shape)
    for j in range(w.shape[2]):
        best = None
        for clip in CLIPS:
            top = clip * np.abs(w[:, :, j]).max()
            held = np.empty(w.shape[:2])
            for at, value in np.ndenumerate(w[:, :, j]):
                part = min(max(value / top, -1.0), 1.0)
                if encoding == "differential":
                    held[at] = np.copysign(round(abs(part) * steps), part) / steps * top
                else:
                    held[at] = (2.0 * round((part + 1.0) / 2.0 * steps) / steps - 1.0) * top
            error = ((held - w[:, :, j]) ** 2).sum()
            if best is None or error < best[0]:
                best = error, held
        out[:, :, j] = best[1]
    return out


def with_rounded(network, hardware, code):
    """The network with the weights that the cells hold, those of gated kernels after their floor was cancelled."""
    floor, layers = gate_floor(hardware.cell), []
    for layer in network.layers:
        held = layer
        if isinstance(layer, DynamicConv):
            k, n = layer.weight.shape[:2]
            stored, scale = cancel_floor(layer.weight.reshape(k, n, -1).swapaxes(1, 2), floor, sums_to_one=True)
            cells = slow_rounded(stored, *code)
            mixed = ((1.0 - floor) * cells + floor * cells.sum(0)) / scale
            attention = layer.attention
            parts = {
                name: slow_rounded(getattr(attention, name).T[None], *code)[0].T for name in ("weight_1", "weight_2")
            }
            weight = mixed.swapaxes(1, 2).reshape(layer.weight.shape)
            held = replace(layer, weight=weight, attention=replace(attention, **parts))
        elif isinstance(layer, Conv):
            flat = layer.weight.reshape(len(layer.weight), -1).T[None]
            held = replace(layer, weight=slow_rounded(flat, *code)[0].T.reshape(layer.weight.shape))
        elif isinstance(layer, Linear):
            held = replace(layer, weight=slow_rounded(layer.weight.T[None], *code)[0].T)
        layers.append(held)
    return Network(network.name, network.input_shape, network.classes, tuple(layers))


@pytest.mark.parametrize("code", CODES)
def test_ideal_chip__computes_the_network_with_the_rounded_weights(code, images):
    network, hardware = joined(np.random.default_rng(4)), load_hardware("ideal").with_values(keys(*code))
    result = run(write(compile_network(network, hardware, images), 1), images, precision="double")
    wanted = with_rounded(network, hardware, code).forward(images)
    np.testing.assert_allclose(result.logits, wanted, rtol=0.0, atol=1e-10 * np.abs(wanted).max())
    exact = network.forward(images)
    if code[2] is None:
        np.testing.assert_allclose(result.logits, exact, rtol=0.0, atol=1e-10 * np.abs(exact).max())
    else:
        assert np.abs(result.logits - exact).max() > 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("layout", ["parallel", "digital"])
def test_ideal_chip__mixes_kernels_digitally_too(layout, images):
    network = joined(np.random.default_rng(4))
    hardware = load_hardware("ideal").with_values(["tile.encoding=offset", f"mapping.layout={layout}", *SHAPE])
    result = run(write(compile_network(network, hardware, images), 1), images, precision="double")
    exact = network.forward(images)
    np.testing.assert_allclose(result.logits, exact, rtol=0.0, atol=1e-10 * np.abs(exact).max())


def test_levels__more_bits_come_closer_in_any_number_of_slices(images):
    network = joined(np.random.default_rng(4))
    exact = network.forward(images)
    off = {}
    for encoding, slices, levels in [
        ("differential", 1, 2), ("differential", 1, 4), ("differential", 2, 4), ("differential", 4, 4),
        ("differential", 8, 2), ("differential", 1, 256), ("offset", 8, 2), ("offset", 1, 256),
    ]:  # fmt: skip
        hardware = load_hardware("ideal").with_values(keys(encoding, slices, levels))
        result = run(write(compile_network(network, hardware, images), 1), images, precision="double")
        off[encoding, slices, levels] = np.linalg.norm(result.logits - exact) / np.linalg.norm(exact)
    fine = [off["differential", slices, levels] for slices, levels in ((1, 2), (1, 4), (2, 4), (4, 4))]
    assert fine == sorted(fine, reverse=True)
    assert off["differential", 8, 2] == pytest.approx(off["differential", 4, 4], rel=1e-6)  # the same 8 bits
    assert off["differential", 8, 2] == pytest.approx(off["differential", 1, 256], rel=1e-6)
    assert off["offset", 8, 2] == pytest.approx(off["offset", 1, 256], rel=1e-6)


@pytest.mark.parametrize("code", CODES)
def test_cells__are_at_their_levels_and_use_the_window(code, images):
    network, hardware = joined(np.random.default_rng(4)), Hardware().with_values(keys(*code))
    program = compile_network(network, hardware, images)
    low, high = window_of(hardware.cell, hardware.dac.v_read)
    for matrix in program.all_matrices:
        g = matrix.conductances
        assert g.min() >= low * (1.0 - 1e-9)
        assert g.max() <= high * (1.0 + 1e-9)
        if code[2] is not None:  # compensation of wires would leave the levels
            places = (g - low) / (high - low) * (code[2] - 1)
            np.testing.assert_allclose(places, np.rint(places), rtol=0.0, atol=1e-9)
        blocks = sorted({(tile.cells.start, tile.cells.stop) for tile in matrix.tiles})
        assert blocks[0][0] == 0
        assert blocks[-1][1] == g.shape[2]
        assert all(one[1] == other[0] for one, other in itertools.pairwise(blocks))
        for tile in matrix.tiles:
            assert tile.cell_columns <= 34


# ---- counts and prices ----


@pytest.mark.parametrize(
    ("code", "columns", "converted", "additions"),
    [
        (WeightCode(), 10, 5, 0.0),
        (WeightCode("differential", 3, 4), 30, 15, 10.0),
        (WeightCode("offset"), 6, 6, 5.0),
        (WeightCode("offset", 1, 3), 6, 6, 5.0),
        (WeightCode("offset", 1, 2), 7, 7, 6.0),
        (WeightCode("offset", 3, 4), 17, 17, 16.0),
    ],
)
def test_code__counts_of_five_outputs(code, columns, converted, additions):
    assert code.columns(5) == columns
    assert code.converted(5) == converted
    each, once = code.additions
    assert 5 * each + once == additions
    assert code.outputs(columns) == 5
    assert code.outputs(columns - 1) == 4
    assert code.worth.sum() == pytest.approx(1.0)


def test_code__joins_digits_and_references_by_hand():
    code = WeightCode("offset", 2, 4)
    given = np.array([1.0, 2.0, 3.0, 4.0, 10.0, 20.0]).reshape(1, 6, 1)  # two outputs of two digits, two references
    np.testing.assert_allclose(
        code.joined(given)[0, :, 0], [(1.0 + 4 * 2.0) / 5 - 15.0, (3.0 + 4 * 4.0) / 5 - 15.0], rtol=1e-14
    )


@pytest.mark.parametrize("code", CODES)
def test_counts__of_a_run_by_hand_and_of_an_estimate(code, images):
    network = joined(np.random.default_rng(4))
    hardware = load_hardware("ideal").with_values([*keys(*code), "dac.bits=6"])
    program = compile_network(network, hardware, images)
    result = run(write(program, 1), images, precision="double")
    said = estimate(program, histograms(program, images))
    held = hardware.tile.code
    for trace in result.layers:
        if trace.name not in program.matrices:
            continue
        conversions = sum(
            matrix.positions * held.converted(tile.shape[1]) * (2 if matrix.signed else 1)
            for matrix in program.of(trace.name)
            for tile in matrix.tiles
        )
        assert trace.activity.conversions == conversions
        for item in dataclasses.fields(trace.activity):
            if trace.name != "conv" and item.name in EXPECTED:
                continue  # inputs of later layers are those of rounded weights, not of the exact network
            one, other = getattr(said[trace.name], item.name), getattr(trace.activity, item.name)
            assert one == pytest.approx(other, rel=0.05, abs=1e-30), item.name
    matrix = program.matrices["side"][0]
    plain = compile_network(network, load_hardware("ideal").with_values([*SHAPE, "tile.columns=34"]), images)
    before = run(write(plain, 1), images, precision="double")
    sides = [next(layer for layer in each.layers if layer.name == "side") for each in (before, result)]
    each, once = held.additions
    signs = 2 if matrix.signed else 1
    joined_up = matrix.positions * signs * sum(each * tile.shape[1] + once for tile in matrix.tiles)
    assert sides[1].activity.additions - sides[0].activity.additions == joined_up


@pytest.mark.parametrize("code", [("differential", 4, 4), ("offset", 1, None), ("offset", 2, 16)])
def test_report__adds_up_and_the_estimate_is_near(code, images):
    network = joined(np.random.default_rng(4))
    program = compile_network(network, Hardware().with_values(keys(*code)), images)
    report, guess = price(run(write(program, 1), images, seed=3)), price_estimate(program, images)
    for each in (report, guess):
        for layer in each.layers:
            assert sum(layer.energy_by_component_J.values()) == pytest.approx(layer.energy_J, rel=1e-12)
            assert sum(layer.area_by_component_m2.values()) == pytest.approx(layer.area_m2, rel=1e-12)
        total = sum(layer.energy_J for layer in each.layers) + each.energy_between_J_per_image
        assert each.energy_J_per_image == pytest.approx(total, rel=1e-12)
        assert all(0.0 < one.utilisation <= 1.0 for one in each.arrays)
    assert guess.energy_J_per_image == pytest.approx(report.energy_J_per_image, rel=0.05)
    assert guess.area_m2 == report.area_m2


def test_price__slices_cost_conversions_and_area(images):
    network = joined(np.random.default_rng(4))
    found = {}
    for slices, levels in ((1, 16), (2, 4), (4, 2)):
        program = compile_network(network, Hardware().with_values(keys("differential", slices, levels)), images)
        report = price_estimate(program, images)
        adc = sum(layer.energy_by_component_J["adc"] for layer in report.layers)
        found[slices] = adc, report.area_by_component_m2["cells"]
    assert found[2][0] == pytest.approx(2.0 * found[1][0], rel=1e-12)
    assert found[4][0] == pytest.approx(4.0 * found[1][0], rel=1e-12)
    assert found[4][1] >= found[2][1] >= found[1][1]


# ---- the whole chip ----


@pytest.mark.parametrize("code", [("offset", 1, None), ("offset", 2, 16), ("differential", 2, 16)])
def test_run__on_the_default_chip_is_near_and_does_not_depend_on_the_batch(code, images):
    network = joined(np.random.default_rng(4))
    chip = write(compile_network(network, Hardware().with_values(keys(*code)), images), 1)
    whole, cut = (run(chip, images, seed=5, batch=size) for size in (5, 2))
    np.testing.assert_array_equal(whole.logits, cut.logits)
    errors = [layer.own_error for layer in whole.layers if layer.name in ("conv", "side")]
    assert max(errors) < 0.35
    assert min(errors) > 1e-4


def test_wires__are_compensated_for_offset_columns(images):
    network = joined(np.random.default_rng(4))
    settings = [*keys("offset", 1, None), "wires.r_row=20", "wires.r_column=20", "wires.r_driver=200"]
    errors = []
    for more in (["tile.compensate_wires=false"], []):
        hardware = load_hardware("ideal").with_values([*settings, *more])
        result = run(write(compile_network(network, hardware, images), 1), images, precision="double")
        errors.append(max(layer.own_error for layer in result.layers if layer.name in ("conv", "side")))
    assert errors[1] < 0.3 * errors[0]


def test_read__of_offset_columns_is_that_of_unsigned_converters(images):
    """Codes of a layer by hand: column after column, from 0 to 2^bits - 1."""
    rng = np.random.default_rng(8)
    fc = Linear("fc", ("flat",), rng.normal(size=(3, 6)))
    network = Network("one", (6, 1, 1), ("a", "b", "c"), (Flatten("flat", ("input",)), fc))
    x = rng.random((4, 6, 1, 1))
    hardware = load_hardware("ideal").with_values(["tile.encoding=offset", "adc.bits=5"])
    program = compile_network(network, hardware, x)
    (matrix,) = program.all_matrices
    (tile,) = matrix.tiles
    result = run(write(program, 0), x, precision="double")
    volts = hardware.dac.v_read * x.reshape(4, 6) / matrix.x_scale
    codes = np.clip(np.rint(volts @ matrix.conductances[0] / (tile.full_scale / 31.0)), 0.0, 31.0)
    assert codes.max() > 20.0
    wanted = (codes[:, :3] - codes[:, 3:]) * (tile.full_scale / 31.0) * matrix.scale
    np.testing.assert_allclose(result.logits, wanted, rtol=1e-9)


def test_converters__unsigned_ones_err_with_as_many_thresholds(images):
    network = joined(np.random.default_rng(4))
    hardware = Hardware().with_values([*keys("offset", 1, None), "adc.dnl=0.2", "adc.circuit=sar", "adc.calibration=3"])
    chip = write(compile_network(network, hardware, images), 1)
    tiles = [tile for held in chip.tiles.values() for tile in held]
    assert {tile.errors.thresholds.shape[1] for tile in tiles} == {255}
    assert all(tile.errors.thresholds[0, 0] == pytest.approx(0.5, abs=2.0) for tile in tiles)
    assert np.isfinite(run(chip, images, seed=1).logits).all()
    assert Adc().thresholds == 254


def test_stuck_cells__partners_are_written_to_levels(images):
    network = joined(np.random.default_rng(4))
    quiet = ["spread.write_error=0", "spread.window_low_ln_sigma=0", "spread.window_high_cv=0", "spread.stuck_on=0.1"]
    hardware = Hardware().with_values([*keys("differential", 1, 4), *quiet])
    program = compile_network(network, hardware, images)
    matrix = program.matrices["conv"][0]
    written = write_tile(matrix, matrix.tiles[0], program, (1, 0, 0)).g_filament
    seen = hardware.cell.terminal_conductance(written, hardware.cell.gain_high, hardware.dac.v_read)
    low, high = window_of(hardware.cell, hardware.dac.v_read)
    places = (seen - low) / (high - low) * 3.0
    np.testing.assert_allclose(places, np.rint(places), rtol=0.0, atol=1e-6)
    wanted = matrix.conductances[:, matrix.tiles[0].rows, matrix.tiles[0].cells]
    assert np.mean(np.abs(seen - wanted) > 0.1 * (high - low)) > 0.05


# ---- refused ----


@pytest.mark.parametrize("layout", ["stacked", "reprogram"])
def test_layouts__that_cannot_have_coded_weights_are_refused(layout, images):
    hardware = Hardware().with_values([*keys("offset", 1, None), f"mapping.layout={layout}"])
    with pytest.raises(MappingError, match=f"mixed has the layout '{layout}', whose weights cannot be stored with"):
        compile_network(joined(np.random.default_rng(4)), hardware, images)


def test_auto_layout__leaves_them_out(images):
    hardware = Hardware().with_values([*keys("differential", 2, 4), "mapping.layout=auto"])
    program = compile_network(joined(np.random.default_rng(4)), hardware, images)
    assert program.matrices["mixed"][0].layout in ("parallel", "digital")


def test_gates_of_columns__are_refused(images):

    network, asked = _arranged("gates of columns")
    hardware = Hardware().with_values([*asked, "tile.levels=4"])
    with pytest.raises(MappingError, match="gates of its columns, whose weights cannot be stored with"):
        compile_network(network, hardware, np.random.default_rng(0).random((2, *network.input_shape)))


@pytest.mark.parametrize("way", [("offset", 1, None), ("offset", 1, 2), ("differential", 3, 4), ("differential", 1, 2)])
def test_chip_module__stores_coded_weights(images, way):
    """The module's own cells are those that the compiler made, but for rounding."""
    torch = pytest.importorskip("torch")
    from mapping.training.chip_module import ChipModule

    program = compile_network(
        joined(np.random.default_rng(4)), Hardware().with_values([*keys(*way), "tile.compensate_wires=false"]), images
    )
    module = ChipModule(program, precision="double")
    for matrix in program.all_matrices:
        encoded = module.encoded[matrix.name]
        weight = module._weight(encoded.layer, encoded.part).detach()
        assert float((encoded.ratio - 1.0).abs().max()) < 1e-9
        targets, scale = encoded.targets(weight)
        np.testing.assert_allclose(targets.numpy(), matrix.conductances, rtol=1e-12)
        np.testing.assert_allclose(scale.numpy(), matrix.scale, rtol=1e-12)
    out = module.train()(torch.tensor(images))
    out.square().sum().backward()
    assert all(bool(torch.isfinite(part.grad).all()) for part in module.parameters())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"encoding": "unary"}, "tile.encoding must be one of differential, offset, got 'unary'"),
        ({"slices": 2}, "tile.levels must be a number for weights of several slices, got 'ideal' for tile.slices = 2"),
        ({"slices": 0}, "tile.slices must be from 1 to 16, got 0"),
        ({"levels": 1}, "tile.levels must be from 2 to 65536, got 1"),
        ({"slices": 5, "levels": 16}, "must be at most 65536, got 16 to the power of 5"),
        ({"slices": 4, "levels": 2, "columns": 6}, "tile.columns must be at least 8 for .* 4 slices, got 6"),
    ],
)
def test_tile__bad_values_are_refused(values, words):
    with pytest.raises(ParameterError, match=words):
        TileShape(**values)


def test_relu__between_layers_keeps_its_place(images):
    """A network of two sliced layers, with signed and unsigned inputs."""
    rng = np.random.default_rng(5)
    layers = (
        Conv("one", ("input",), rng.normal(size=(5, 2, 2, 2)), rng.normal(size=5)), Relu("relu", ("one",)),
        Conv("two", ("relu",), rng.normal(size=(3, 5, 2, 2)), rng.normal(size=3)), Flatten("flat", ("two",)),
        Linear("fc", ("flat",), rng.normal(size=(3, 36)), rng.normal(size=3)),
    )  # fmt: skip
    network = Network("two", (2, 6, 5), ("a", "b", "c"), layers)
    hardware = load_hardware("ideal").with_values(keys("differential", 8, 4))
    result = run(write(compile_network(network, hardware, images), 1), images, precision="double")
    exact = network.forward(images)
    np.testing.assert_allclose(result.logits, exact, rtol=0.0, atol=3e-4 * np.abs(exact).max())  # 16 bits
