"""The four layouts of a dynamic layer: equal results without deviations, different counts, prices and times."""

import dataclasses

import numpy as np
import pytest

from crossbar import reference_solve
from crossbar.arrays.wires import Wires
from crossbar.tiles import batch_tiles as entries
from crossbar.tiles.tile import cross_factors
from crossbar.tiles.written_arrays import terminal_conductances
from devices.cells.adaptive import AdaptiveMemristor
from devices.errors import MappingError, ParameterError
from devices.writing.spread import Spread
from devices.writing.write_pulses import WriteVerify, write_verify
from mapping.chips.cells import write_tile
from mapping.hardware.description import LAYOUTS, Hardware
from mapping.hardware.description_files import load_hardware
from mapping.inference.batch import Batch
from mapping.inference.batch_tiles import mixed_targets, tiles_for_batch
from mapping.inference.running import run
from mapping.networks import Attention, DynamicConv, GlobalAveragePool, Linear, Network
from mapping.report.pricing import price
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

K = 3  # kernels
DOUBLE = np.dtype(np.float64)


def network(rng, kind="softmax", groups=1):
    """One dynamic layer of 18 rows (or two groups of 9), 4 outputs, 3 kernels, 30 positions; pool; linear."""
    layer = DynamicConv(
        "mixed", ("input",), rng.normal(size=(K, 4, 2 // groups, 3, 3)), rng.normal(size=(K, 4)), (1, 1), (1, 1),
        (1, 1), groups,
        Attention(rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=(K, 3)), None, 1.0, kind),
    )  # fmt: skip
    fc = Linear("fc", ("pool",), rng.normal(size=(3, 4)))
    return Network("small", (2, 6, 5), tuple("abc"), (layer, GlobalAveragePool("pool", ("mixed",)), fc))


def chip(layout, base="adaptive2d", *settings):
    return load_hardware(base).with_values([
        "tile.rows=12", "tile.columns=8", "tile.gate_nodes=6", f"mapping.layouts.mixed={layout}", *settings
    ])  # fmt: skip


def simulated(hardware, exact, images, count=4):
    return run(write(compile_network(exact, hardware, images), 3), images[:count], seed=5, precision="double")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(7).random((6, 2, 6, 5))


@pytest.fixture(scope="module")
def results(images):
    """A run of each layout on the default chip, with small tiles."""
    exact = network(np.random.default_rng(9))
    return {layout: simulated(chip(layout), exact, images) for layout in LAYOUTS}


# equivalence


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("kind", "groups"), [("softmax", 1), ("softmax", 2)])
def test_ideal_chip__computes_the_exact_network_in_every_layout(layout, kind, groups, rng, images):
    exact = network(rng, kind, groups)
    signed = images - 0.4
    result = simulated(chip(layout, "ideal"), exact, signed, 6)
    assert result.chip.program.matrices["mixed"][0].layout == layout
    np.testing.assert_allclose(
        result.logits, exact.forward(signed), rtol=0, atol=1e-10 * np.abs(exact.forward(signed)).max()
    )


@pytest.mark.parametrize("layout", ["digital", "reprogram"])
def test_sigmoid_attention__has_no_floor_where_no_gate_mixes(layout, rng, images):
    exact = network(rng, "sigmoid")
    result = simulated(chip(layout, "ideal"), exact, images)
    np.testing.assert_allclose(result.logits, exact.forward(images[:4]), rtol=1e-9)


@pytest.mark.parametrize("layout", ["digital", "reprogram"])
def test_cells_without_gates__can_mix_digitally_or_be_rewritten(layout, rng, images):
    exact = network(rng)
    result = simulated(chip(layout, "two_terminal"), exact, images)
    assert result.layers[0].own_error < 0.4
    with pytest.raises(MappingError, match=r"mixed is a dynamic layer.*mapping\.layout = 'digital' or 'reprogram'"):
        compile_network(exact, chip("stacked", "two_terminal"), images)


@pytest.mark.parametrize("families", [True, False])
def test_stacked__is_the_array_of_its_bands(rng, images, monkeypatch, families):
    """One tile, on strong wires: bands at their own gates, one below the other, solved as one plain array."""
    if not families:
        monkeypatch.setattr(entries, "FAMILIES", 1)
    wires = ["wires.r_row=3.0", "wires.r_column=4.0", "wires.r_sense=50.0", "tile.gate_nodes=24"]
    hardware = chip("stacked", "adaptive2d", *wires, "tile.rows=60", "adc.bits=ideal", "adc.offset=0.0",
                    "noise.thermal_shot=false", "noise.flicker=false")  # fmt: skip
    program = compile_network(network(rng), hardware, images)
    written = write(program, 1)
    (matrix,) = program.matrices["mixed"]
    assert (len(matrix.tiles), matrix.arrays, matrix.bands) == (1, 1, K)
    gains = np.array([[0.02, 0.5, 0.9], [0.7, 0.3, 0.05]]) * hardware.cell.gain_high
    assert (written.banks["mixed"][0].family is not None) == families
    ready, done = tiles_for_batch(written, matrix, gains, np.ones((2, K)), Batch(0, np.arange(2), DOUBLE))
    assert done.cell_writes == 0.0
    tile = ready.tiles["mixed"][0].tile
    cells = write_tile(matrix, matrix.tiles[0], program, (1, 0, 0))
    share = rng.random(18)
    for entry in range(2):
        bands = [
            terminal_conductances(
                hardware.cell, dataclasses.replace(cells, g_filament=cells.g_filament[k : k + 1],
                                                   gate_offset=cells.gate_offset[k : k + 1]),
                hardware.dac.v_read, _One(gains[entry, k]),
            )[0, 0]
            for k in range(K)
        ]  # fmt: skip
        v = np.tile(share, K)[None] * hardware.dac.v_read
        slow = reference_solve(np.vstack(bands), v, Wires(3.0, 4.0, 100.0, 50.0))
        wanted = slow.currents[0, 0::2] - slow.currents[0, 1::2]
        found = share * hardware.dac.v_read @ tile.signal[0, entry]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())
        flat = reference_solve(
            np.vstack(bands), np.full((1, 18 * K), hardware.dac.v_read), Wires(3.0, 4.0, 100.0, 50.0)
        )  # rows at one voltage give each other nothing
        spent, squared = tile.to_columns[0, entry], hardware.dac.v_read**2
        assert float(spent.sum()) * squared == pytest.approx(float(flat.power[0]), rel=1e-6, abs=0.0)
        factors = cross_factors(tile.to_rows[0, entry])
        drawn = share**2 @ (spent + factors * factors.sum()) - (share @ factors) ** 2
        assert drawn * squared == pytest.approx(float(slow.power[0]), rel=0.01, abs=0.0)


class _One:
    """A single gain as nodes."""

    def __init__(self, gain):
        self.gains = np.array([gain])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wires__are_made_up_for_in_every_layout(layout, images):
    """Only wires deviate; targets that know them leave a fraction of the error."""
    exact = network(np.random.default_rng(9))
    base = load_hardware("ideal").with_values([
        "tile.rows=24", "tile.columns=8", "tile.gate_nodes=8", "wires.r_row=20.0", "wires.r_column=60.0",
        "wires.r_sense=100.0", f"mapping.layout={layout}",
    ])  # fmt: skip
    left, plain = (
        simulated(base.with_values([f"tile.compensate_wires={flag}"]), exact, images).layers[0].own_error
        for flag in ("true", "false")
    )
    assert left < 0.5 * plain
    assert plain > 0.01


# writing for each image


def test_reprogram__targets_are_the_mixed_kernels(images):
    """On ideal wires pairs show the mixture of the kernels' differences; no more than one cell of a pair is raised."""
    program = compile_network(network(np.random.default_rng(9)), chip("reprogram", "ideal"), images)
    written, (matrix,) = write(program), program.matrices["mixed"]
    shares = np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
    cell = program.hardware.cell
    low = float(cell.terminal_conductance(np.array(cell.g_min), cell.gain_high, program.hardware.dac.v_read))
    for placement in matrix.tiles:
        columns = slice(2 * placement.columns.start, 2 * placement.columns.stop)
        kernels = matrix.conductances[:, placement.rows, columns]
        found = mixed_targets(written, matrix, placement, shares)
        wanted = np.tensordot(shares, kernels[..., 0::2] - kernels[..., 1::2], axes=1)
        np.testing.assert_allclose(found[..., 0::2] - found[..., 1::2], wanted, rtol=0, atol=1e-15)
        assert np.minimum(found[..., 0::2], found[..., 1::2]).max() == pytest.approx(low, rel=1e-12, abs=0.0)


def test_reprogram__writes_anew_for_each_image_on_the_same_cells(images):
    """Equal shares land on other conductances in each image, stuck cells where they are; batches change nothing."""
    hardware = chip("reprogram", "adaptive2d", "spread.stuck_on=0.1", "tile.trim_pairs=false")
    program = compile_network(network(np.random.default_rng(9)), hardware, images)
    written, (matrix,) = write(program, 4), program.matrices["mixed"]
    shares = np.full((3, K), 1.0 / K)
    ready, done = tiles_for_batch(written, matrix, None, shares, Batch(0, np.arange(3), DOUBLE))
    assert done.cell_writes == 3 * 18 * 8
    spent = np.stack([tile.tile.to_columns[0] for tile in ready.tiles["mixed"]])  # (tiles, b, m)
    assert 1e-4 < np.abs(spent[:, 1] / spent[:, 0] - 1.0).mean() < 0.2
    again = tiles_for_batch(written, matrix, None, shares[1:2], Batch(0, np.array([1]), DOUBLE))[0]
    for tile, alone in zip(ready.tiles["mixed"], again.tiles["mixed"], strict=True):
        np.testing.assert_allclose(alone.tile.signal[0, 0], tile.tile.signal[0, 1], rtol=1e-12)
    other = tiles_for_batch(written, matrix, None, shares[1:2], Batch(1, np.array([1]), DOUBLE))[
        0
    ]  # another run draws other write errors
    assert not np.array_equal(other.tiles["mixed"][0].tile.signal, again.tiles["mixed"][0].tile.signal)


def test_prices_of_writing__are_those_of_simulated_write_and_verify():
    """From one set of half-normal weights to another, half of all cells at rest; stuck cells are left alone."""
    rng, cell = np.random.default_rng(3), AdaptiveMemristor()

    def drawn():
        raised = rng.random((16, 128)) < 0.5
        return np.maximum(np.abs(rng.normal(0.0, 0.15, raised.shape)) * cell.g_max * raised, cell.g_min)

    before, after = drawn(), drawn()
    state = np.clip(np.log(before / cell.g_min) / np.log(cell.g_max / cell.g_min), 0.0, 1.0)
    cells = dataclasses.replace(Spread(), stuck_on=0.0, stuck_off=0.0).draw(cell, after.shape, rng)
    done = write_verify(cells, after, WriteVerify(), rng, start=state)
    costs = Hardware().costs
    assert done.energy.mean() == pytest.approx(costs.e_write, rel=0.25)
    assert done.time.max(1).mean() == pytest.approx(costs.t_write, rel=0.25)


# counts


def test_counts__by_hand(results):
    """18 rows on tiles of 12, 4 outputs on one column of tiles of 4 pairs, 30 positions, 3 kernels, unsigned inputs."""
    done = {layout: result.layers[0].activity for layout, result in results.items()}
    alone = results["parallel"].chip.program.matrices["mixed.attention"]
    outside = sum(matrix.outputs * len(matrix.tiles) for matrix in alone)  # conversions of attention
    conversions = {name: each.conversions - outside for name, each in done.items()}
    # rows: 2 pieces of 9; stacked: 4 rows of each band, 5 pieces
    assert conversions == {
        "parallel": 2 * 30 * 4, "stacked": 5 * 30 * 4, "digital": K * 2 * 30 * 4, "reprogram": 2 * 30 * 4
    }  # fmt: skip
    inner = sum(matrix.rows for matrix in alone)  # codes of attention
    codes = {name: each.row_codes - inner for name, each in done.items()}
    assert codes == {"parallel": K * 540, "stacked": K * 540, "digital": K * 540, "reprogram": 540}
    assert {name: each.cell_writes for name, each in done.items()} == {
        "parallel": 0, "stacked": 0, "digital": 0, "reprogram": 18 * 8
    }  # fmt: skip
    assert {name: each.gate_updates for name, each in done.items()} == {
        "parallel": K * 2, "stacked": K * 5, "digital": 0, "reprogram": 0
    }  # fmt: skip
    cells = {name: each.cell_reads - done["reprogram"].cell_reads for name, each in done.items()}
    assert cells["parallel"] == pytest.approx(cells["stacked"], rel=0.01)  # but for the noise in the attention
    assert cells["parallel"] == pytest.approx(cells["digital"], rel=0.01)
    assert cells["parallel"] > 0
    results_ = 30 * 4
    more = done["digital"].multiplications - done["parallel"].multiplications
    # each kernel's results are scaled, then mixed; a mixed bias is not needed
    assert more == (K - 1) * results_ + K * results_ - K * 4
    assert done["digital"].buffer_bits - done["parallel"].buffer_bits == 8 * (K - 1) * results_  # codes are shared
    rewritten = done["reprogram"].multiplications - done["parallel"].multiplications
    assert rewritten == K * 18 * 4


def test_arrays__by_hand(results):
    programs = {layout: result.chip.program for layout, result in results.items()}
    arrays = {layout: program.tiles("mixed") - 2 for layout, program in programs.items()}  # two of the attention
    assert arrays == {"parallel": K * 2, "stacked": 5, "digital": K * 2, "reprogram": 2}
    operations = {program.operations for program in programs.values()}
    assert operations == {2 * (30 * 18 * 4 + 2 * 3 + 3 * K + 4 * 3)}
    inside = 2 * 1 * (2 * 3 + 3 * K)  # cells of the attention
    assert programs["stacked"].utilisation("mixed") == pytest.approx((K * 18 * 8 + inside) / (7 * 96))
    assert programs["reprogram"].utilisation("mixed") == pytest.approx((18 * 8 + inside) / (4 * 96))


def test_energies__are_ordered_as_physics_has_it(results):
    """Shares add up to 1, so gated kernels draw what one does; digital mixing reads and converts all of them."""
    reports = {layout: price(result) for layout, result in results.items()}
    parts = {layout: report.layers[0].energy_by_component_J for layout, report in reports.items()}
    assert 2.0 < parts["digital"]["array"] / parts["parallel"]["array"] < 4.5
    assert parts["digital"]["adc"] > 2.5 * parts["parallel"]["adc"]
    assert parts["stacked"]["array"] == pytest.approx(parts["parallel"]["array"], rel=0.1)
    rewritten, period = results["reprogram"].chip.program, reports["reprogram"].keeping.refresh_images
    attention = sum(each.conductances.size for each in rewritten.of("mixed") if not each.rewritten)  # refreshed
    writes = (18 * 8 + attention / period) * 2.5e-12
    assert parts["reprogram"]["writes"] == pytest.approx(writes, rel=1e-12, abs=0.0)
    assert parts["reprogram"]["writes"] > 3 * parts["parallel"]["array"]
    assert sum(parts["parallel"].values()) == min(sum(each.values()) for each in parts.values())


def test_copies__share_the_positions_and_cost_gates_and_arrays(images):
    exact = network(np.random.default_rng(9))
    one, four = (
        simulated(chip("parallel", "adaptive2d", f"mapping.copies.mixed={copies}"), exact, images) for copies in (1, 4)
    )
    assert np.array_equal(one.logits, four.logits)
    before, after = one.layers[0].activity, four.layers[0].activity
    assert after.gate_updates == 4 * before.gate_updates
    assert after.conversions == before.conversions
    assert four.chip.program.tiles("mixed") == 4 * (one.chip.program.tiles("mixed") - 2) + 2
    read = [price(each).layers[0].latency_by_phase_s["read"] for each in (one, four)]
    behind = 4 * 10e-9 + 2e-9  # the last conversions of 4 pairs, and the sums
    assert read[1] - behind == pytest.approx((read[0] - behind) * 8 / 30, rel=1e-9)  # 8 of 30 positions each


# choosing


def test_auto__takes_what_the_weights_ask_for(images):
    exact = network(np.random.default_rng(9))

    def chosen(**weights):
        zero = {f"weight_{name}": 0.0 for name in ("energy", "latency", "area", "error")} | weights
        hardware = chip("auto", "adaptive2d", *(f"mapping.{key}={value}" for key, value in zero.items()))
        return compile_network(exact, hardware, images).matrices["mixed"][0].layout

    assert chosen(weight_energy=1.0) == "parallel"
    assert chosen(weight_area=1.0) == "reprogram"
    assert chosen(weight_latency=1.0) != "reprogram"


def test_auto__leaves_out_what_cannot_be_placed(images):
    program = compile_network(network(np.random.default_rng(9)), chip("auto", "two_terminal"), images)
    assert program.matrices["mixed"][0].layout == "digital"


def test_names__that_are_no_such_layers_are_refused(images):
    exact = network(np.random.default_rng(9))
    for setting, words in (
        ("mapping.layouts.fc=digital", r"mapping\.layouts: unknown layer 'fc'; valid are mixed"),
        ("mapping.copies.pool=2", r"mapping\.copies: unknown layer 'pool'"),
    ):
        with pytest.raises(ParameterError, match=words):
            compile_network(exact, chip("parallel", "adaptive2d", setting), images)
    with pytest.raises(MappingError, match="mixed has 3 kernels, too many for bands of a tile of 2 rows"):
        compile_network(exact, chip("stacked", "adaptive2d", "tile.rows=2"), images)
