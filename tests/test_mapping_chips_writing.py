"""Written chips: random streams, pairs trimmed around stuck cells, currents of tiles against the reference solver."""

import dataclasses

import numpy as np
import pytest

from crossbar import reference_solve
from crossbar.tiles.written_arrays import build_tiles
from devices.errors import ParameterError
from devices.writing.spread import Spread
from mapping.chips.cells import write_tile
from mapping.chips.stuck_cells import RIDGE, compensated, trimmed
from mapping.hardware.description import Hardware
from mapping.networks import Attention, Conv, DynamicConv, GlobalAveragePool, Linear, Network, Relu
from mapping.placement.encoding import filaments
from mapping.placement.placing import moments_of
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

CHANNELS = 3


def small(*settings):
    return Hardware().with_values(["tile.rows=9", "tile.columns=6", *settings])


def network(seed=1, *, dynamic=True):
    """conv -> relu -> dynamic (or static) conv -> pool -> linear, on maps of 5 × 4."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(3, 4, CHANNELS, 3, 3))
    middle = (
        DynamicConv(
            "mixed", ("relu",), weight, rng.normal(size=(3, 4)), (1, 1), (1, 1), (1, 1), 1,
            Attention(rng.normal(size=(2, CHANNELS)), None, rng.normal(size=(3, 2)), None),
        )
        if dynamic
        else Conv("mixed", ("relu",), weight[0])
    )  # fmt: skip
    layers = (
        Conv("conv", ("input",), rng.normal(size=(CHANNELS, 2, 3, 3)), rng.normal(size=CHANNELS), padding=(1, 1)),
        Relu("relu", ("conv",)),
        middle,
        GlobalAveragePool("pool", ("mixed",)),
        Linear("fc", ("pool",), rng.normal(size=(3, 4))),
    )
    return Network("small", (2, 5, 4), tuple("abc"), layers)


def program(hardware, **options):
    return compile_network(network(**options), hardware, np.random.default_rng(2).random((4, 2, 5, 4)))


def numbered(placed):
    """Every tile of a program: matrix, placement, and the stream that `write` gives it."""
    matrices = [matrix for group in placed.matrices.values() for matrix in group]
    return [
        (matrix, placement, index, at)
        for index, matrix in enumerate(matrices)
        for at, placement in enumerate(matrix.tiles)
    ]


def same(one, two):
    """Bit for bit the same tile."""
    return all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("signal", "to_columns", "variances", "offsets")
    )


# seeds and streams


def test_write__same_seed_is_the_same_chip_bit_for_bit():
    placed = program(small())
    one, two, other = write(placed, 7), write(placed, 7), write(placed, 8)
    for matrix, _, _, at in numbered(placed):
        assert same(one.tiles[matrix.name][at], two.tiles[matrix.name][at])
        assert not np.array_equal(one.tiles[matrix.name][at].signal, other.tiles[matrix.name][at].signal)
        assert not np.array_equal(one.tiles[matrix.name][at].offsets, other.tiles[matrix.name][at].offsets)


def test_write__of_one_tile_needs_no_other():
    """Each tile alone, in reverse order, is the one that the whole chip has."""
    hardware = small()
    placed = program(hardware)
    chip = write(placed, 3)
    for matrix, placement, index, at in reversed(numbered(placed)):
        alone = write_tile(matrix, placement, placed, (3, index, at))
        (tile,) = build_tiles(
            hardware.cell, [alone], hardware.wires, hardware.dac, hardware.adc, hardware.noise, hardware.temperature,
            family_error=hardware.tile.family_error,
        )  # fmt: skip
        assert same(tile, chip.tiles[matrix.name][at])


def test_write__weights_of_one_layer_change_no_other_tile():
    placed = program(small())
    matrices = dict(placed.matrices)
    changed = dataclasses.replace(matrices["conv"][0], conductances=matrices["conv"][0].conductances[..., ::-1].copy())
    other = dataclasses.replace(placed, matrices=matrices | {"conv": (changed,)})
    one, two = write(placed, 3), write(other, 3)
    assert not same(one.tiles["conv"][0], two.tiles["conv"][0])
    for name in ("mixed", "mixed.attention1", "mixed.attention2", "fc"):
        assert all(same(a, b) for a, b in zip(one.tiles[name], two.tiles[name], strict=True))


def test_streams__of_tiles_and_kernels_are_unrelated():
    """Write errors of every pair of arrays on the chip: no correlation beyond what chance gives."""
    alone = (
        "tile.trim_pairs=false",
        "tile.column_scales=false",
    )  # with scales more cells are near an end
    hardware = dataclasses.replace(small(*alone), spread=Spread(0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 0.0))
    placed = program(hardware)
    errors = []
    for matrix, placement, index, at in numbered(placed):
        alone = write_tile(matrix, placement, placed, (0, index, at))
        columns = slice(2 * placement.columns.start, 2 * placement.columns.stop)
        wanted = filaments(matrix.conductances[:, placement.rows, columns], hardware.cell, hardware.dac.v_read)
        inside = (wanted > 3e-6) & (wanted < 48e-6)  # neither end of the window is near
        error = np.where(inside, (alone.g_filament - wanted) / (0.01 * hardware.cell.g_max), np.nan)
        errors += [each.ravel() for each in error]
    compared = 0
    for i, one in enumerate(errors):
        for two in errors[:i]:
            n = min(one.size, two.size)
            both = ~np.isnan(one[:n] + two[:n])
            if both.sum() >= 10:
                compared += 1
                r = np.mean(one[:n][both] * two[:n][both])
                assert abs(r) < 5.0 / np.sqrt(both.sum())
    assert compared > 10
    everything = np.concatenate([error[~np.isnan(error)] for error in errors])
    assert abs(everything.mean()) < 5.0 / np.sqrt(everything.size)
    assert everything.std() == pytest.approx(1.0, abs=5.0 / np.sqrt(2 * everything.size))


def test_streams__of_converter_offsets_differ_between_tiles():
    chip = write(program(small()), 0)
    first = [tile.offsets[0] for tiles in chip.tiles.values() for tile in tiles]
    assert len(set(first)) == len(first) > 10
    assert np.std(np.concatenate([tile.offsets for tiles in chip.tiles.values() for tile in tiles])) == pytest.approx(
        chip.program.hardware.adc.offset, rel=0.4
    )


def test_write__reports_progress_and_refuses_seeds():
    placed = program(small())
    done = []
    write(placed, 0, progress=done.append)
    assert done == sorted(done)
    assert done[-1] == len(numbered(placed))
    for seed, words in ((-1, "seed must be ≥ 0, got -1"), (1.5, "seed must be a whole number, got 1.5")):
        with pytest.raises(ParameterError, match=words):
            write(placed, seed)


def test_write__large_seeds_are_chips_of_their_own():
    placed = program(small())
    chips = [write(placed, seed) for seed in (0, 1, 2**32, 2**32 + 1, 2**63)]
    signals = [chip.tiles["fc"][0].signal.tobytes() for chip in chips]
    assert len(set(signals)) == len(chips)


def test_written__ideal_spread_lands_on_the_targets():
    hardware = dataclasses.replace(small(), spread=Spread.none())
    placed = program(hardware)
    for matrix, placement, index, at in numbered(placed):
        alone = write_tile(matrix, placement, placed, (0, index, at))
        columns = slice(2 * placement.columns.start, 2 * placement.columns.stop)
        shown = hardware.cell.terminal_conductance(alone.g_filament, hardware.cell.gain_high, hardware.dac.v_read)
        np.testing.assert_allclose(shown, matrix.conductances[:, placement.rows, columns], rtol=1e-12)
        assert not alone.gate_offset.any()


# pairs around stuck cells

STUCK = Spread(0.0, 0.0, 0.0, 0.0, 0.0, stuck_on=0.06, stuck_off=0.06)


def written(hardware):
    """Terminal conductances of each tile: wanted, written plainly, written with trimming; and which cells are stuck."""
    placed, plain = (
        program(
            dataclasses.replace(
                hardware, tile=dataclasses.replace(hardware.tile, trim_pairs=trim, compensate_stuck=False)
            )
        )
        for trim in (True, False)
    )
    cell = hardware.cell
    for matrix, placement, index, at in numbered(placed):
        columns = slice(2 * placement.columns.start, 2 * placement.columns.stop)
        wanted = matrix.conductances[:, placement.rows, columns]
        shown = [
            cell.terminal_conductance(
                write_tile(matrix, placement, each, (5, index, at)).g_filament, cell.gain_high, hardware.dac.v_read
            )
            for each in (plain, placed)
        ]
        cells = hardware.spread.draw(cell, wanted.shape, np.random.default_rng([5, index, at, 0]))
        yield wanted, *shown, cells.stuck


def pair(g):
    return g[..., 0::2] - g[..., 1::2]


def test_trim__restores_every_difference_that_the_window_allows():
    """A cell stuck on is answered always; one stuck off only if its partner carries the pair's difference."""
    hardware = dataclasses.replace(small(), spread=STUCK)
    cell = hardware.cell
    low, high = cell.terminal_conductance(np.array([cell.g_min, cell.g_max]), cell.gain_high, hardware.dac.v_read)
    restored = hopeless = 0
    for wanted, plain, trim, stuck in written(hardware):
        one, two = stuck[..., 0::2], stuck[..., 1::2]
        need = np.where(one, plain[..., 0::2] - pair(wanted), plain[..., 1::2] + pair(wanted))
        reachable = (one ^ two) & (need >= low * (1 - 1e-12)) & (need <= high * (1 + 1e-12))
        np.testing.assert_allclose(pair(trim)[reachable], pair(wanted)[reachable], rtol=0, atol=1e-9 * high)
        restored += reachable.sum()
        lost = (one ^ two) & ~reachable
        hopeless += lost.sum()
        before, after = np.abs(pair(plain) - pair(wanted)), np.abs(pair(trim) - pair(wanted))
        assert (after <= before + 1e-12 * high).all()
    assert restored > 20
    assert hopeless > 5


def test_trim__leaves_pairs_of_healthy_cells_bit_for_bit():
    hardware = dataclasses.replace(small(), spread=dataclasses.replace(Spread(), stuck_on=0.05, stuck_off=0.05))
    pairs = 0
    for _, plain, trim, stuck in written(hardware):
        healthy = ~(stuck[..., 0::2] | stuck[..., 1::2])
        pairs += healthy.sum()
        assert np.array_equal(plain[..., 0::2][healthy], trim[..., 0::2][healthy])
        assert np.array_equal(plain[..., 1::2][healthy], trim[..., 1::2][healthy])
        assert np.array_equal(plain[stuck], trim[stuck])
    assert pairs > 200


def test_trim__by_hand():
    """Columns: both well, + stuck on, - stuck on, + stuck off, both stuck."""
    wanted = np.array([[[30, 1, 30, 1, 10, 1, 1, 20, 5, 1]]]) * 1e-6
    found = np.array([[[30, 1, 50, 1, 10, 50, 1, 20, 50, 50]]]) * 1e-6
    found[0, 0, 6] = 0.5e-6  # stuck off below its window
    stuck = np.array([[[False, False, True, False, False, True, True, False, True, True]]])
    answer = trimmed(wanted, found, stuck)[0, 0] * 1e6
    #   well   | on: its partner takes 50 - 29 = 21 | - on: + would have to take 50 + 9 | - takes 19.5
    np.testing.assert_allclose(answer, [30, 1, 30, 21, 59, 1, 1, 19.5, 5, 1], rtol=1e-12)


# columns around stuck cells


def columns(seed, k=2, m=24, c=5, p=400):
    """Wanted pairs, what stuck ones miss, which cells are stuck, and inputs that go together (p, m)."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(k, m, c))
    wanted = np.full((k, m, 2 * c), 5.0)
    wanted[..., 0::2] += np.maximum(weights, 0.0)
    wanted[..., 1::2] += np.maximum(-weights, 0.0)
    stuck = rng.random(wanted.shape) < 0.05
    pairs = stuck[..., 0::2] | stuck[..., 1::2]
    missed = np.where(pairs, rng.normal(size=weights.shape), 0.0)
    x = np.maximum(rng.normal(size=(p, 4)) @ rng.normal(size=(4, m)) + 0.5 * rng.normal(size=(p, m)), 0.0)
    return wanted, missed, stuck, pairs, x


@pytest.mark.parametrize("seed", range(3))
def test_compensated__is_the_least_squares_answer_of_the_whole_cells(seed):
    """Column by column against lstsq on the inputs themselves, the ridge as further rows."""
    wanted, missed, stuck, pairs, x = columns(seed)
    moments = moments_of(x[None])
    answer = pair(compensated(wanted, missed, stuck, moments)) - pair(wanted)
    m = len(moments)
    ridge = (RIDGE * np.trace(moments) / m * len(x)) ** 0.5 * np.eye(m)
    system = np.concatenate([x, ridge])
    assert pairs.any((0, 1)).all()
    for k, column in np.ndindex(*missed[:, 0].shape):
        free = ~pairs[k, :, column]
        best = -np.linalg.lstsq(system[:, free], system @ missed[k, :, column], rcond=None)[0]
        np.testing.assert_allclose(answer[k, free, column], best, rtol=0, atol=1e-10)
        assert not answer[k, ~free, column].any()


def test_compensated__leaves_columns_without_stuck_cells_alone():
    wanted, missed, stuck, _, x = columns(4)
    stuck[..., :4], missed[..., :2] = False, 0.0
    answer = compensated(wanted, missed, stuck, moments_of(x[None]))
    np.testing.assert_array_equal(answer[..., :4], wanted[..., :4])
    assert (answer[..., 4:] != wanted[..., 4:]).any()


def test_compensated__of_rows_that_are_never_driven():
    wanted, missed, stuck, _, x = columns(5)
    answer = compensated(wanted, missed, stuck, np.zeros((x.shape[1], x.shape[1])))
    np.testing.assert_allclose(answer, wanted, rtol=1e-12)


def test_written__columns_err_less_where_whole_cells_make_up_for_stuck_ones():
    """Sums of the very inputs that the chip was calibrated on: less than two thirds of the error is left."""
    hardware = dataclasses.replace(small(), spread=Spread(0.0, 0.0, 0.0, 0.0, 0.0, stuck_on=0.01, stuck_off=0.04))
    errors = []
    for on in (True, False):
        placed = program(dataclasses.replace(hardware, tile=dataclasses.replace(hardware.tile, compensate_stuck=on)))
        total = 0.0
        for matrix, placement, index, at in numbered(placed):
            tile = write_tile(matrix, placement, placed, (5, index, at))
            g = hardware.cell.terminal_conductance(tile.g_filament, hardware.cell.gain_high, hardware.dac.v_read)
            columns = slice(2 * placement.columns.start, 2 * placement.columns.stop)
            missed = pair(g) - pair(matrix.conductances[:, placement.rows, columns])
            moments = matrix.moments[placement.rows.start]
            total += np.einsum("kic,ij,kjc->", missed, moments, missed) / (matrix.x_scale * hardware.cell.g_max) ** 2
        errors.append(total)
    assert errors[0] < 4 / 9 * errors[1]


# the reference solver


def twin_currents(tile_cells, cell, v_gate, v, wires, v_read):
    """Pair currents (b, c) of each gated array of a tile by the slow twin, from voltages alone."""
    total = 0.0
    for g_filament, offset, volts in zip(tile_cells.g_filament, tile_cells.gate_offset, v_gate, strict=True):
        g = cell.terminal_conductance(g_filament, cell.gate_gain(volts - offset), v_read)
        currents = reference_solve(g, v, wires).currents
        total = total + currents[:, 0::2] - currents[:, 1::2]
    return total


def worst_against_twin(hardware, voltages, rng):
    """Largest difference to the reference solver over all tiles, over the largest column current at open gates."""
    placed = program(hardware)
    chip = write(placed, 11)
    worst, tiles = 0.0, 0
    for matrix, placement, index, at in numbered(placed):
        tile, cell = chip.tiles[matrix.name][at], hardware.cell
        cells = write_tile(matrix, placement, placed, (11, index, at))
        shares = rng.random((2, 3, tile.rows))  # two inputs at three positions
        g = cell.terminal_conductance(cells.g_filament, cell.gain_high, hardware.dac.v_read)
        full = max(reference_solve(each, hardware.dac.v_read * shares[0], hardware.wires).currents.max() for each in g)
        for _ in range(voltages):
            if tile.nodes is None:
                v_gate = np.array([[cell.v_gate_max]] * 2)
                gains = None
            else:
                v_gate = rng.uniform(cell.v_gate_min, cell.v_gate_max, (2, tile.gates))
                gains = cell.gate_gain(v_gate)
            currents = tile.currents(shares, tile.mix(gains, 2))
            for b in range(2):
                v = hardware.dac.v_read * shares[b]
                twin = twin_currents(cells, cell, v_gate[b], v, hardware.wires, hardware.dac.v_read)
                worst = max(worst, np.abs(currents[b] - twin).max() / full)
        tiles += 1
    assert tiles == len(numbered(placed)) > 10
    return worst


@pytest.mark.parametrize(("count", "error"), [(10, 3e-4), (16, 3e-6), (24, 1e-7)])
def test_tiles__currents_are_the_twins_at_any_gate_voltage(count, error, rng):
    """Every tile of a chip with every spread, wires of 2.8 ohm; measured: 4e-5 … 1e-4, 3e-7 and 5e-9."""
    hardware = small("wires.r_row=2.8", "wires.r_column=2.8", "tile.family_error=0", f"tile.gate_nodes={count}")
    assert worst_against_twin(hardware, 3, rng) < error


def test_tiles__of_equal_gates_are_the_twins_to_rounding_at_any_gate_voltage(rng):
    """Without gate offsets nothing but wires bends the gain."""
    hardware = small(
        "wires.r_row=2.8", "wires.r_column=2.8", "tile.gate_nodes=24", "tile.family_error=0",
        "spread.gate_offset_line=0.0", "spread.gate_offset_cell=0.0",
    )  # fmt: skip
    assert worst_against_twin(hardware, 3, rng) < 1e-9


def test_tiles__are_exact_at_their_gate_nodes(rng):
    """With the default nodes and every spread, at each node itself, array by array."""
    hardware = small("wires.r_row=2.8", "wires.r_column=2.8", "tile.family_error=0")
    placed = program(hardware)
    chip = write(placed, 11)
    cell = hardware.cell
    for matrix, placement, index, at in numbered(placed):
        tile = chip.tiles[matrix.name][at]
        if tile.nodes is None:
            continue
        cells = write_tile(matrix, placement, placed, (11, index, at))
        v = hardware.dac.v_read * rng.random((2, tile.rows))
        for node, gain in enumerate(tile.nodes.gains):
            for k in range(tile.gates):
                opened = cell.gain_with_offset(cell.gate_voltage(gain), cells.gate_offset[k])
                g = cell.terminal_conductance(cells.g_filament[k], opened, hardware.dac.v_read)
                twin = reference_solve(g, v, hardware.wires).currents
                np.testing.assert_allclose(
                    v @ tile.signal[k, node], twin[:, 0::2] - twin[:, 1::2], rtol=0, atol=1e-12 * np.abs(twin).max()
                )
                np.testing.assert_allclose(v @ tile.to_columns[k, node], twin.sum(1), rtol=1e-12)


def test_tiles__without_a_gate_are_the_twins_too(rng):
    hardware = small("cell.preset=two_terminal", "spread.gate_offset_line=0.0", "spread.gate_offset_cell=0.0")
    placed = program(hardware, dynamic=False)
    chip = write(placed, 2)
    for matrix, placement, index, at in numbered(placed):
        cells = write_tile(matrix, placement, placed, (2, index, at))
        tile = chip.tiles[matrix.name][at]
        v = hardware.dac.v_read * rng.random((2, tile.rows))
        g = hardware.cell.terminal_conductance(cells.g_filament[0], 1.0, hardware.dac.v_read)
        twin = reference_solve(g, v, hardware.wires).currents
        np.testing.assert_allclose(
            v @ tile.signal[0, 0], twin[:, 0::2] - twin[:, 1::2], rtol=0, atol=1e-12 * np.abs(twin).max()
        )


def test_parts__that_are_computed_together_change_nothing(monkeypatch):
    """Compensation and writing of a few tiles at a time give the targets and currents of all at once, bit by bit."""
    hardware = small("wires.r_row=2", "wires.r_column=2", "spread.stuck_on=0.02")
    whole = program(hardware)
    currents = [tile.signal for held in write(whole, 5).tiles.values() for tile in held]
    for module in ("mapping.placement.wire_compensation", "mapping.chips.chip"):
        monkeypatch.setattr(f"{module}.AT_ONCE", 200)  # a tile of 9 x 6 cells has 54, of three kernels 162
    parts = program(hardware)
    for one, other in zip(whole.all_matrices, parts.all_matrices, strict=True):
        np.testing.assert_array_equal(one.conductances, other.conductances)
    for one, other in zip(currents, (t.signal for held in write(parts, 5).tiles.values() for t in held), strict=True):
        np.testing.assert_array_equal(one, other)
