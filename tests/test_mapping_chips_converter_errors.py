"""Converters that err in chips and runs: draws of the tiles, batches, layouts, calibration, prices."""

import numpy as np
import pytest

from mapping import Hardware, compile_network, price, price_estimate, run, write
from mapping.files.cache import Cache
from mapping.hardware.description import LAYOUTS
from mapping.hardware.weight_code import WeightCode
from mapping.workflow.kept_results import compiled, written
from tests.small_networks import joined

ERRING = ["adc.gain_error=0.01", "adc.inl=0.5", "adc.dnl=0.3", "adc.comparator_noise=2e-3", "adc.c_sample=1e-14"]
SMALL = ["tile.rows=24", "tile.columns=8", "tile.gate_nodes=6", "adc.columns=3"]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).random((4, 2, 6, 5))


@pytest.fixture(scope="module")
def network():
    return joined(np.random.default_rng(4))


def chip(network, images, *settings, layout="parallel"):
    hardware = Hardware().with_values([*SMALL, f"mapping.layout={layout}", *settings])
    return write(compile_network(network, hardware, images), 3)


def error(layers):
    return np.mean([layer.own_error for layer in layers if layer.name in ("conv", "mixed", "side", "fc")])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_run__converters_that_err_add_to_the_errors_in_every_layout(network, images, layout):
    clean, more = ([], [*ERRING, "dac.gain_error=0.05"])
    before, after = (run(chip(network, images, *each, layout=layout), images, seed=5) for each in (clean, more))
    assert not np.array_equal(before.logits, after.logits)
    assert error(after.layers) > error(before.layers)


def test_run__does_not_depend_on_the_batch(network, images):
    held = chip(network, images, *ERRING, "adc.circuit=sar", "adc.calibration=4")
    whole = run(held, images, seed=5, precision="double")
    again = run(held, images, seed=5, precision="double", batch=3)
    np.testing.assert_array_equal(whole.logits, again.logits)


def test_chip__draws_the_errors_of_each_tile_by_itself_and_the_offsets_as_without(network, images):
    plain, held = chip(network, images), chip(network, images, *ERRING)
    gains = set()
    for name, tiles in held.tiles.items():
        for tile, other in zip(tiles, plain.tiles[name], strict=True):
            np.testing.assert_array_equal(tile.offsets, other.offsets)
            np.testing.assert_array_equal(tile.signal, other.signal)
            assert other.errors is None
            assert len(set(tile.errors.gains)) == -(-tile.pairs // 3) == len(tile.errors.thresholds)
            gains |= set(tile.errors.gains)
    assert len(gains) == sum(len(tile.errors.thresholds) for tiles in held.tiles.values() for tile in tiles)


def test_ideal_chip__has_no_errors(network, images):
    hardware = Hardware().with_values([*SMALL, *ERRING, "dac.gain_error=0.05", "adc.calibration=3"]).idealised()
    result = run(write(compile_network(network, hardware, images), 1), images, precision="double")
    np.testing.assert_allclose(
        result.logits, network.forward(images), rtol=0.0, atol=1e-10 * np.abs(result.logits).max()
    )


def test_calibration__leaves_smaller_errors_where_no_outputs_are_adjusted_and_costs_conversions(network, images):
    settings = ["tile.adjust_outputs=false", "adc.offset=6", "adc.comparator_noise=2e-3"]
    reports = []
    for more in ([], ["adc.calibration=32"]):
        result = run(chip(network, images, *settings, *more), images, seed=5)
        reports.append((error(result.layers), price(result)))
    (before, plain), (after, calibrated) = reports
    assert after < 0.7 * before
    assert plain.calibration_J is plain.calibration_s is None
    held = calibrated.configuration["adc"]
    assert calibrated.calibration_s == pytest.approx(32 * 3 / held["sample_rate"])
    program = result.chip.program
    columns = sum(tile.shape[1] for matrix in program.all_matrices for tile in matrix.tiles)
    costs = program.hardware.costs
    each = costs.conversion(program.hardware.adc, "survey") * (1.0 + costs.reference_share)
    assert calibrated.calibration_J == pytest.approx(32 * columns * each, rel=1e-12)
    for one, other in zip(calibrated.layers, plain.layers, strict=True):
        assert one.energy_by_component_J["adc"] == other.energy_by_component_J["adc"]


def test_price__follows_noise_and_circuit(network, images):
    program = compile_network(network, Hardware().with_values(SMALL), images)

    def of(*settings):
        report = price_estimate(compile_network(network, Hardware().with_values([*SMALL, *settings]), images), images)
        return sum(layer.energy_by_component_J["adc"] for layer in report.layers), report

    quiet, loud = of()[0], of("adc.comparator_noise=4e-3")[0]
    assert loud < quiet
    circuit = ["costs.adc_model=circuit", "adc.c_sample=1e-14", "adc.comparator_noise=1e-3"]
    found = {name: of(*circuit, f"adc.circuit={name}") for name in ("sar", "ramp", "flash", "pipelined")}
    assert found["ramp"][0] > found["flash"][0] > found["sar"][0]  # 256 decisions and a counter, 255, 8
    times = {name: report.latency_s_per_image for name, (_, report) in found.items()}
    assert times["ramp"] > times["sar"] >= times["flash"]
    for energy, report in found.values():
        low, high = report.energy_band_J_per_image
        assert low <= report.energy_J_per_image <= high
        assert energy > 0.0
        assert report.area_m2 == pytest.approx(sum(report.area_by_component_m2.values()), rel=1e-12)
    assert program.hardware.adc.t_conversions(3) == 3e-8


def test_chip_module__reads_with_converters_that_err(network, images):
    torch = pytest.importorskip("torch")
    from mapping.training.chip_module import ChipModule

    program = compile_network(network, Hardware().with_values([*SMALL, *ERRING]), images)
    exact = run(write(program, 2), images, seed=1, precision="double").logits
    with torch.no_grad():
        got = ChipModule(program, 2, read_seed=1, precision="double").eval()(torch.tensor(images)).numpy()
    np.testing.assert_allclose(got, exact, rtol=0.0, atol=1e-9 * np.abs(exact).max())


def test_cache__gives_back_the_same_chip(network, images, tmp_path):
    """Erring converters, drivers, coded weights and the stress of reads come back from the file."""
    settings = [*SMALL, *ERRING, "dac.gain_error=0.01", "tile.encoding=offset", "tile.levels=16", "adc.calibration=2"]
    program = compile_network(network, Hardware().with_values(settings), images)
    cache = Cache(tmp_path)
    first, again = (written(program, 3, cache) for _ in range(2))
    assert again is not first
    for one, other in zip(first.tiles["conv"], again.tiles["conv"], strict=True):
        np.testing.assert_array_equal(one.errors.thresholds, other.errors.thresholds)
        np.testing.assert_array_equal(one.errors.correction, other.errors.correction)
        assert one.adc == other.adc
    assert first.stress.keys() == again.stress.keys()
    np.testing.assert_array_equal(run(first, images, seed=5).logits, run(again, images, seed=5).logits)
    held = compiled(network, Hardware().with_values(settings), images, cache)
    from_file = compiled(network, Hardware().with_values(settings), images, cache)
    assert held.matrices["conv"][0].code == from_file.matrices["conv"][0].code == WeightCode("offset", 1, 16)
