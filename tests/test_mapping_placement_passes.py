"""Compiler passes: folding, encoding, tiling, placement, converter ranges; each against an independent formula."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbar import Wires, transfer_matrix
from devices.cells.ohmic import Resistor
from devices.cells.presets import PRESETS
from devices.errors import MappingError, ParameterError
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.networks import (
    Add,
    Attention,
    BatchNorm,
    Conv,
    DynamicConv,
    Flatten,
    GlobalAveragePool,
    Linear,
    Network,
    Relu,
)
from mapping.placement.encoding import Encoding, cancel_floor, filaments, gate_floor
from mapping.placement.folding import fold
from mapping.placement.placing import cut
from mapping.placement.wire_compensation import typical_gains
from mapping.workflow.compiling import compile_network
from mapping.workflow.digests import digest

SEEDS = st.integers(0, 2**32 - 1)


def attention(rng, channels, kernels, kind="softmax"):
    return Attention(
        rng.normal(size=(3, channels)), rng.normal(size=3), rng.normal(size=(kernels, 3)), rng.normal(size=kernels),
        1.5, kind,
    )  # fmt: skip


def dynamic(rng, name, source, c_in, c_out, *, kernels=3, kind="softmax", bias=True, groups=1):
    return DynamicConv(
        name, (source,), rng.normal(size=(kernels, c_out, c_in // groups, 3, 3)),
        rng.normal(size=(kernels, c_out)) if bias else None, (1, 1), (1, 1), (1, 1), groups,
        attention(rng, c_in, kernels, kind),
    )  # fmt: skip


def norm(rng, name, source, channels):
    gamma, beta, mean = rng.normal(size=(3, channels))
    return BatchNorm(name, (source,), gamma, beta, mean, rng.uniform(0.1, 2.0, channels))


def network(*layers, shape=(2, 6, 5), classes=3):
    return Network("test", shape, tuple("abcdefgh"[:classes]), layers)


def images(rng, count, shape=(2, 6, 5)):
    return rng.random((count, *shape))


def ends(rng, source, width, classes=3):
    """A pool and a linear layer that make classes of a map."""
    return GlobalAveragePool("pool", (source,)), Linear("fc", ("pool",), rng.normal(size=(classes, width)))


def agree(one, two, images):
    want = one.forward(images)
    np.testing.assert_allclose(two.forward(images), want, rtol=0, atol=1e-12 * np.abs(want).max())


# folding


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(["conv", "dynamic", "linear"]), st.booleans(), st.booleans())
def test_fold__is_exact_and_leaves_no_norm(seed, kind, bias, twice):
    rng = np.random.default_rng(seed)
    if kind == "linear":
        flat = Flatten("flat", ("input",))
        body = Linear("body", ("flat",), rng.normal(size=(4, 60)), rng.normal(size=4) if bias else None)
    elif kind == "conv":
        flat = Relu("flat", ("input",))
        body = Conv("body", ("flat",), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4) if bias else None)
    else:
        flat = Relu("flat", ("input",))
        body = dynamic(rng, "body", "flat", 2, 4, bias=bias)
    norms = [norm(rng, "norm1", "body", 4)] + ([norm(rng, "norm2", "norm1", 4)] if twice else [])
    tail = norms[-1].name
    head = () if kind == "linear" else (GlobalAveragePool("pool", (tail,)),)
    last = Linear("fc", ("pool" if head else tail,), rng.normal(size=(3, 4)))
    given_network = network(flat, body, *norms, *head, last)
    folded = fold(given_network)
    assert [layer.name for layer in folded.layers] == ["flat", "body", *(layer.name for layer in head), "fc"]
    agree(given_network, folded, images(rng, 3))
    assert len(given_network.layers) == len(folded.layers) + len(norms)  # the one given is as it was


def test_fold__of_groups_and_strides_is_exact(rng):
    conv = Conv("conv", ("input",), rng.normal(size=(6, 1, 3, 2)), None, (2, 1), (1, 0), (1, 2), 2)
    given_network = network(conv, norm(rng, "norm", "conv", 6), *ends(rng, "norm", 6))
    agree(given_network, fold(given_network), images(rng, 3))
    assert len(fold(given_network).layers) == 3


def test_fold__of_the_last_layer_keeps_the_outputs(rng):
    given_network = network(
        Flatten("flat", ("input",)), Linear("fc", ("flat",), rng.normal(size=(3, 60))), norm(rng, "norm", "fc", 3)
    )
    folded = fold(given_network)
    assert folded.layers[-1].name == "fc"
    agree(given_network, folded, images(rng, 3))


def kept_after_sigmoid(rng):
    return network(
        dynamic(rng, "conv", "input", 2, 4, kind="sigmoid"), norm(rng, "norm", "conv", 4), *ends(rng, "norm", 4)
    )


def kept_beside_a_branch(rng):
    conv = Conv("conv", ("input",), rng.normal(size=(4, 2, 1, 1)))
    return network(conv, norm(rng, "norm", "conv", 4), Add("add", ("conv", "norm")), *ends(rng, "add", 4))


def kept_after_relu(rng):
    conv = Conv("conv", ("input",), rng.normal(size=(4, 2, 1, 1)))
    return network(conv, Relu("relu", ("conv",)), norm(rng, "norm", "relu", 4), *ends(rng, "norm", 4))


def kept_after_the_image(rng):
    return network(norm(rng, "norm", "input", 2), *ends(rng, "norm", 2))


@pytest.mark.parametrize("make", [kept_after_sigmoid, kept_beside_a_branch, kept_after_relu, kept_after_the_image])
def test_fold__keeps_a_norm_that_cannot_be_folded_exactly(make, rng):
    given_network = make(rng)
    folded = fold(given_network)
    assert "norm" in [layer.name for layer in folded.layers]
    agree(given_network, folded, images(rng, 3))


# the gate's floor


@settings(max_examples=100)
@given(SEEDS, st.integers(1, 8), st.floats(0.0, 0.5))
def test_cancel_floor__is_exact_for_shares_of_sum_one(seed, k, floor):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(k, 5, 4)) * 10.0 ** rng.uniform(-3, 3)
    shares = rng.dirichlet(np.full(k, 0.3), size=6)
    stored, scale = cancel_floor(weights, floor, sums_to_one=True)
    mixed = np.einsum("bk,krn->brn", floor + (1.0 - floor) * shares, stored)
    np.testing.assert_allclose(
        mixed / scale, np.einsum("bk,krn->brn", shares, weights), rtol=0, atol=1e-13 * k * np.abs(weights).max()
    )


def test_cancel_floor__leaves_weights_alone_where_there_is_none(rng):
    weights = rng.normal(size=(3, 5, 4))
    for sums_to_one in (True, False):
        stored, scale = cancel_floor(weights, 0.0, sums_to_one=sums_to_one)
        assert np.array_equal(stored, weights)
        assert scale == 1.0


@settings(max_examples=100)
@given(SEEDS, st.integers(1, 8), st.floats(0.001, 0.5))
def test_cancel_floor__by_one_more_kernel_is_exact_for_any_shares(seed, k, floor):
    """docs/equations/encoding.md eq. 5: the last kernel's gate is held open."""
    rng = np.random.default_rng(seed)
    weights, shares = rng.normal(size=(k, 5, 4)) * 10.0 ** rng.uniform(-3, 3), rng.random((6, k))
    stored, scale = cancel_floor(weights, floor, sums_to_one=False)
    assert len(stored) == k + 1
    gains = np.concatenate([floor + (1.0 - floor) * shares, np.ones((6, 1))], axis=1)
    np.testing.assert_allclose(
        np.einsum("bk,krn->brn", gains, stored) / scale, np.einsum("bk,krn->brn", shares, weights),
        rtol=0, atol=1e-13 * k * np.abs(weights).max(),
    )  # fmt: skip


def test_gate_floor__is_the_closed_gates_part():
    cell = PRESETS["adaptive_2d"]()
    assert gate_floor(cell) == cell.gate_gain(cell.v_gate_min) / cell.gate_gain(cell.v_gate_max)
    assert 0.0 < gate_floor(cell) < 0.05
    assert gate_floor(PRESETS["two_terminal"]()) == gate_floor(PRESETS["resistor"]()) == 0.0


# encoding


@pytest.mark.parametrize("preset", sorted(PRESETS))
@settings(max_examples=20)
@given(seed=SEEDS, scale=st.floats(1e-6, 1e6), by_output=st.booleans())
def test_pairs__differ_by_the_weight_and_stay_in_the_window(preset, seed, scale, by_output):
    cell, v_read = PRESETS[preset](), 0.1
    weights = scale * np.random.default_rng(seed).normal(size=(2, 4, 3))
    encoding = Encoding.of(weights, cell, v_read, by_output=by_output)
    g = encoding.pairs(weights)
    assert g.shape == (2, 4, 6)
    low, high = cell.terminal_conductance(np.array([cell.g_min, cell.g_max]), cell.gain_high, v_read)
    np.testing.assert_allclose(g[..., 0::2] - g[..., 1::2], encoding.siemens * weights, rtol=0, atol=1e-15 * high)
    assert np.array_equal(np.minimum(g[..., 0::2], g[..., 1::2]), np.full(weights.shape, low))  # one rests always
    filled = g.reshape(8, 3, 2).max(axis=(0, 2)) if by_output else g.max()  # by the largest weight
    np.testing.assert_allclose(filled, high, rtol=1e-14)
    held = filaments(g, cell, v_read)
    assert held.min() >= cell.g_min
    assert held.max() <= cell.g_max
    np.testing.assert_allclose(cell.terminal_conductance(held, cell.gain_high, v_read), g, rtol=1e-12)


def test_pairs__of_zeros_rest_at_the_bottom():
    cell = PRESETS["adaptive_2d"]()
    encoding = Encoding.of(np.zeros((1, 2, 2)), cell, 0.1, by_output=True)
    g = encoding.pairs(np.zeros((1, 2, 2)))
    assert np.isfinite(encoding.siemens).all()
    assert np.ptp(g) == 0.0
    np.testing.assert_allclose(filaments(g, cell, 0.1), cell.g_min, rtol=1e-12)


# cutting and placing


@settings(max_examples=200)
@given(st.integers(1, 5000), st.integers(1, 600))
def test_cut__covers_in_the_fewest_nearly_equal_pieces(length, most):
    pieces = cut(length, most)
    assert pieces[0].start == 0
    assert pieces[-1].stop == length
    assert all(one.stop == two.start for one, two in itertools.pairwise(pieces))
    sizes = [piece.stop - piece.start for piece in pieces]
    assert len(pieces) == math.ceil(length / most)
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


def small(**changes):
    """The default chip on small tiles, or with other changes."""
    return Hardware().with_values([f"{key.replace('__', '.')}={value}" for key, value in changes.items()])


@pytest.fixture
def mixed_network(rng):
    """conv (signed image) -> relu -> dynamic conv with groups -> linear."""
    return network(
        Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), padding=(1, 1)),
        Relu("relu", ("conv",)),
        dynamic(rng, "mixed", "relu", 4, 6, kernels=3, groups=2),
        *ends(rng, "mixed", 6),
    )


def test_place__every_weight_lies_on_one_tile_that_holds_it(mixed_network, rng):
    hardware = small(tile__rows=7, tile__columns=6)
    program = compile_network(mixed_network, hardware, images(rng, 4))
    for group in program.matrices.values():
        for matrix in group:
            k, r, columns = matrix.conductances.shape
            times = np.zeros((r, columns // 2), dtype=int)
            for tile in matrix.tiles:
                times[tile.rows, tile.columns] += 1
                assert tile.shape == times[tile.rows, tile.columns].shape
                assert tile.shape[0] <= 7
                assert tile.shape[1] <= 3
                assert tile.full_scale > 0.0
            assert (times == 1).all()
            assert matrix.kernels == k == (3 if matrix.kind == "dynamic conv" else 1)


def test_compile__lays_layers_out_by_name(mixed_network, rng):
    program = compile_network(mixed_network, Hardware(), images(rng, 4))
    names = {layer: [(matrix.name, matrix.kind) for matrix in group] for layer, group in program.matrices.items()}
    assert names == {
        "conv": [("conv", "conv")],
        "mixed": [("mixed.group0", "dynamic conv"), ("mixed.group1", "dynamic conv")],
        "mixed.attention": [("mixed.attention1", "attention"), ("mixed.attention2", "attention")],
        "fc": [("fc", "linear")],
    }
    assert [matrix.name for matrix in program.of("mixed")] == [
        "mixed.group0", "mixed.group1", "mixed.attention1", "mixed.attention2",
    ]  # fmt: skip
    assert program.of("relu") == ()
    assert program.tiles("relu") == 0
    assert program.utilisation("relu") == 0.0


def test_compile__counts_by_hand(mixed_network, rng):
    """conv: 2·9 rows; mixed: 2 groups of 2·9 rows, 3 outputs, 3 kernels; attention 4→3→3; fc 6→3; maps of 6 × 5."""
    program = compile_network(mixed_network, small(tile__rows=10, tile__columns=4), images(rng, 4))
    assert program.tiles("conv") == 2 * 2  # 18 rows in 10, 4 outputs in 2
    assert program.tiles("mixed") == 2 * 3 * (2 * 2) + (1 * 2) + (1 * 2)  # 3 outputs in 2; both attention matrices
    assert program.tiles("fc") == 1 * 2
    assert program.utilisation("conv") == 18 * 8 / (4 * 40)
    used = 2 * 3 * 18 * 6 + 4 * 6 + 3 * 6
    assert program.utilisation("mixed") == used / (28 * 40)
    multiplications = 30 * 18 * 4 + 30 * 2 * 18 * 3 + 4 * 3 + 3 * 3 + 6 * 3
    assert program.operations == 2 * multiplications
    assert sum(matrix.positions for matrix in program.of("mixed")) == 30 + 30 + 1 + 1


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_ranges__are_the_margin_over_the_largest_calibration_current(coding, mixed_network, rng):
    """Recomputed image by image from the conductances that are to be written; without wires to make up for."""
    hardware = small(tile__rows=10, tile__columns=6, dac__coding=coding, dac__bits=4, adc__margin=1.25)
    hardware = dataclasses.replace(hardware, wires=Wires(0.0, 0.0, 0.0, 0.0))
    calibration = images(rng, 5)
    program = compile_network(mixed_network, hardware, calibration)
    values = program.folded.activations(calibration)
    cell, dac = hardware.cell, hardware.dac
    matrix = program.matrices["mixed"][1]  # the second group
    padded = np.pad(values["relu"], ((0, 0), (0, 0), (1, 1), (1, 1)))[:, 2:]
    share = values["mixed.attention"]
    gain = cell.gain_low + share * (cell.gain_high - cell.gain_low)
    for tile in matrix.tiles:
        columns = slice(2 * tile.columns.start, 2 * tile.columns.stop)
        largest = np.zeros(4 if coding == "bit-serial" else 1)
        for image in range(5):
            g = np.tensordot(gain[image] / cell.gain_high, matrix.conductances[:, tile.rows, columns], axes=1)
            for i in range(6):
                for j in range(5):
                    x = padded[image, :, i : i + 3, j : j + 3].reshape(-1)[tile.rows]
                    code = np.rint(15 * np.clip(x / matrix.x_scale, 0.0, 1.0)).astype(int)
                    bits = [(code >> bit) & 1 for bit in range(4)] if coding == "bit-serial" else [code / 15]
                    for bit, plane in enumerate(bits):
                        current = dac.v_read * plane @ (g[:, 0::2] - g[:, 1::2])
                        largest[bit] = max(largest[bit], np.abs(current).max())
        assert tile.full_scale == pytest.approx(1.25 * largest.max(), rel=1e-9)
        ranges = tile.full_scale * np.array(tile.bit_ranges or 1.0)
        largest[largest == 0.0] = largest.max()  # a read that calibration never drives keeps the whole range
        np.testing.assert_allclose(ranges, 1.25 * (largest if coding == "bit-serial" else largest[0]), rtol=1e-9)


def test_ranges__of_signed_inputs_cover_both_signs(rng):
    """Inputs of -1 and 0.25: the reads of the negative part set scale and range."""
    weight = rng.uniform(0.5, 1.0, (3, 60))
    exact = network(Flatten("flat", ("input",)), Linear("fc", ("flat",), weight))
    calibration = np.where(rng.random((2, 2, 6, 5)) < 0.5, -1.0, 0.25)
    (matrix,) = compile_network(exact, load_hardware("ideal"), calibration).matrices["fc"]
    assert matrix.signed
    assert matrix.x_scale == 1.0
    currents = np.maximum(-calibration, 0.0).reshape(2, 60) @ weight.T / matrix.scale
    assert matrix.tiles[0].full_scale == pytest.approx(1.1 * currents.max(), rel=1e-12)


def test_ranges__of_nothing_are_still_ranges(rng):
    conv = Conv("conv", ("input",), np.zeros((4, 2, 3, 3)))
    program = compile_network(network(conv, *ends(rng, "conv", 4)), Hardware(), images(rng, 2))
    assert all(tile.full_scale > 0.0 for group in program.matrices.values() for m in group for tile in m.tiles)
    dark = compile_network(network(conv, *ends(rng, "conv", 4)), Hardware(), np.zeros((1, 2, 6, 5)))
    assert dark.matrices["conv"][0].x_scale == 1.0


def test_signed__says_whether_calibration_met_both_signs(mixed_network, rng):
    program = compile_network(mixed_network, Hardware(), images(rng, 4))
    signed = {matrix.name: matrix.signed for group in program.matrices.values() for matrix in group}
    assert signed == {
        "conv": False, "mixed.group0": False, "mixed.group1": False, "mixed.attention1": False,
        "mixed.attention2": False, "fc": True,
    }  # fmt: skip
    assert compile_network(mixed_network, Hardware(), images(rng, 4) - 0.5).matrices["conv"][0].signed


@pytest.mark.parametrize("by_output", [True, False])
def test_stored_kernels__cancel_the_floor_those_of_sigmoid_by_one_more(by_output, rng):
    ideal = load_hardware("ideal")
    hardware = dataclasses.replace(ideal, tile=dataclasses.replace(ideal.tile, column_scales=by_output))
    cell = hardware.cell
    e = gate_floor(cell) / (1 - gate_floor(cell))
    for kind in ("softmax", "sigmoid"):
        layer = dynamic(rng, "mixed", "input", 2, 4, kind=kind)
        program = compile_network(network(layer, *ends(rng, "mixed", 4)), hardware, images(rng, 2))
        g = program.matrices["mixed"][0].conductances
        stored = layer.weight.reshape(3, 4, -1).swapaxes(1, 2)
        if kind == "softmax":
            stored = stored - e / (1 + 3 * e) * stored.sum(0)
        else:
            stored = np.concatenate([stored, -gate_floor(cell) * stored.sum(0, keepdims=True)])
        stored = stored / np.abs(stored).max(axis=(0, 1) if by_output else None)
        np.testing.assert_allclose((g[..., 0::2] - g[..., 1::2]) / (cell.gain_high * (cell.g_max - cell.g_min)),
                                   stored, rtol=0, atol=1e-13)  # fmt: skip


def test_compile__twice_is_the_same_program(mixed_network, rng):
    calibration = images(rng, 3)
    one, two = (compile_network(mixed_network, "adaptive2d", calibration) for _ in range(2))
    for layer, group in one.matrices.items():
        for a, b in zip(group, two.matrices[layer], strict=True):
            assert np.array_equal(a.conductances, b.conductances)
            assert a.tiles == b.tiles


UNSEEN = (
    "spread.stuck_off=0.1", "spread.window_high_cv=0.3", "spread.gate_offset_line=0.2", "noise.flicker=false",
    "retention.age=1e6", "retention.images=1e5", "retention.run_temperature=360", "dac.polarity=alternating",
    "dac.t_slot=1e-8", "adc.bits=5", "adc.offset=2.0", "gate_dac.bits=2", "costs.p_leak=20.0",
)  # fmt: skip
SEEN = (
    "adc.margin=1.5", "wires.r_row=4.0", "tile.rows=9", "dac.bits=4", "dac.v_read=0.15", "cell.g_max=3e-5",
    "spread.wire_temperature_coefficient=0.1", "mapping.layout=stacked", "tile.compensate_wires=false",
    "mapping.copies.mixed=2", "costs.node=45e-9",
)  # fmt: skip


def test_compile__what_it_does_not_look_at_changes_no_bit(mixed_network, rng):
    calibration, base = images(rng, 3), load_hardware("adaptive2d").with_values(["cell.temperature=340.0"])
    placed = {}
    for setting in ("", *UNSEEN, *SEEN):
        hardware = base.with_values([setting] if setting else [])
        program = compile_network(mixed_network, hardware, calibration)
        placed[setting] = digest(program.matrices, program.folded), digest(hardware.to_compile())
    for setting in UNSEEN:
        assert placed[setting] == placed[""], setting
    for setting in SEEN:
        assert placed[setting][1] != placed[""][1], setting
    chooses = base.with_values(["mapping.layout=auto"])
    assert chooses.to_compile() is chooses


def test_compile__takes_a_chip_by_name_path_or_value(mixed_network, rng, tmp_path):
    (tmp_path / "mine.toml").write_text("[tile]\nrows = 9\n")
    calibration = images(rng, 2)
    assert compile_network(mixed_network, "ideal", calibration).hardware == load_hardware("ideal")
    assert compile_network(mixed_network, tmp_path / "mine.toml", calibration).hardware.tile.rows == 9
    assert compile_network(mixed_network, Hardware(), calibration).hardware == Hardware()


def test_compile__refuses_what_it_cannot_place(mixed_network, rng):
    with pytest.raises(MappingError, match=r"mixed is a dynamic layer.*'two_terminal'"):
        compile_network(mixed_network, "two_terminal", images(rng, 2))
    with pytest.raises(ParameterError, match="calibration must hold at least one image, got none"):
        compile_network(mixed_network, "ideal", np.empty((0, 2, 6, 5)))
    with pytest.raises(ParameterError, match=r"calibration must have shape \(any, 2, 6, 5\), got \(3, 6, 5\)"):
        compile_network(mixed_network, "ideal", np.zeros((3, 6, 5)))
    with pytest.raises(ParameterError, match="calibration must hold no nan"):
        compile_network(mixed_network, "ideal", np.full((1, 2, 6, 5), np.nan))


def test_compile__leaves_its_arguments_alone(mixed_network, rng):
    calibration = images(rng, 3)
    before = calibration.copy()
    program = compile_network(mixed_network, Hardware(), calibration)
    assert np.array_equal(calibration, before)
    assert program.network is mixed_network
    assert isinstance(dataclasses.replace(program, hardware=small(tile__rows=8)), type(program))


# wires made up for


def transfers(program, matrix, gains):
    """Pair transfers of each tile of a matrix through the wires, at a gain per kernel, from the targets alone."""
    hardware = program.hardware
    cell, v_read = hardware.cell, hardware.dac.v_read
    for tile in matrix.tiles:
        columns = slice(2 * tile.columns.start, 2 * tile.columns.stop)
        held = filaments(matrix.conductances[:, tile.rows, columns], cell, v_read)
        w = np.stack([
            transfer_matrix(cell.terminal_conductance(g, gain, v_read), hardware.wires)
            for g, gain in zip(held, gains, strict=True)
        ])  # fmt: skip
        yield tile, w[..., 0::2] - w[..., 1::2]


@pytest.mark.parametrize("ohm", [0.5, 2.8])
def test_compensation__makes_transfers_proportional_to_weights(ohm, rng):
    """Down to 1 % of the largest where wires took up to 20 %; without it the same pairs miss by tens of percent."""
    weight = rng.normal(size=(48, 2, 6, 5))
    conv = Conv("conv", ("input",), weight)
    exact = network(conv, *ends(rng, "conv", 48))
    misses = {}
    for wanted in ("true", "false"):
        hardware = small(wires__r_row=ohm, wires__r_column=ohm, tile__compensate_wires=wanted)
        program = compile_network(exact, hardware, images(rng, 2))
        (matrix,) = program.matrices["conv"]
        target = weight.reshape(48, -1).T * matrix.x_scale / (matrix.scale * hardware.dac.v_read)
        ((_, through),) = transfers(program, matrix, [hardware.cell.gain_high])
        misses[wanted] = np.abs(through[0] - target).max() / np.abs(target).max()
    assert misses["true"] < 0.01
    assert misses["false"] > 10 * misses["true"]
    assert misses["false"] > 0.05


def test_compensation__of_dynamic_kernels_holds_at_the_gains_where_they_work(rng):
    layer = dynamic(rng, "mixed", "input", 2, 24, kernels=3)
    exact, calibration = network(layer, *ends(rng, "mixed", 24)), images(rng, 6)
    hardware = small(wires__r_row=2.8, wires__r_column=2.8)
    program = compile_network(exact, hardware, calibration)
    (matrix,) = program.matrices["mixed"]
    shares = layer.attention.shares(calibration)
    cell = hardware.cell
    gains = cell.gain_low + (shares**2).sum(0) / shares.sum(0) * (cell.gain_high - cell.gain_low)
    np.testing.assert_allclose(typical_gains(shares, hardware), gains, rtol=1e-12)
    stored, scale = cancel_floor(layer.weight.reshape(3, 24, -1).swapaxes(1, 2), gate_floor(cell), sums_to_one=True)
    kept = matrix.x_scale / (matrix.scale * hardware.dac.v_read * scale)  # siemens of a weight, at the open gate
    ((_, through),) = transfers(program, matrix, gains)
    for k in range(3):
        g = cell.terminal_conductance(np.array([cell.g_min, cell.g_max]), gains[k], hardware.dac.v_read)
        top = cell.terminal_conductance(np.array([cell.g_min, cell.g_max]), cell.gain_high, hardware.dac.v_read)
        target = kept * stored[k] * np.diff(g) / np.diff(top)
        assert np.abs(through[k] - target).max() < 0.03 * np.abs(target).max()  # and the cell's own bend


def test_compensation__stays_in_the_window_and_leaves_ideal_wires_alone(mixed_network, rng):
    calibration = images(rng, 3)
    strong = compile_network(mixed_network, small(wires__r_row=20.0, wires__r_column=20.0), calibration)
    cell = strong.hardware.cell
    for group in strong.matrices.values():
        for matrix in group:
            held = filaments(matrix.conductances, cell, strong.hardware.dac.v_read)
            assert held.min() >= cell.g_min
            assert held.max() <= cell.g_max
    ideal = dataclasses.replace(Hardware(), wires=Wires(0.0, 0.0, 0.0, 0.0))
    off = dataclasses.replace(ideal, tile=dataclasses.replace(ideal.tile, compensate_wires=False))
    one, two = (compile_network(mixed_network, hardware, calibration) for hardware in (ideal, off))
    assert np.array_equal(one.matrices["conv"][0].conductances, two.matrices["conv"][0].conductances)
    np.testing.assert_array_equal(one.matrices["conv"][0].scale, two.matrices["conv"][0].scale)


def test_compensation__of_cells_that_conduct_nothing(rng):
    conv = Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)))
    hardware = dataclasses.replace(Hardware(), cell=Resistor(0.0, 5e-5))
    program = compile_network(network(conv, *ends(rng, "conv", 4)), hardware, images(rng, 2))
    assert np.isfinite(program.matrices["conv"][0].conductances).all()
    nothing = dataclasses.replace(conv, weight=np.zeros((4, 2, 3, 3)))
    program = compile_network(network(nothing, *ends(rng, "conv", 4)), hardware, images(rng, 2))
    assert not program.matrices["conv"][0].conductances.any()
    assert np.isfinite(program.matrices["conv"][0].scale).all()
    assert program.matrices["conv"][0].tiles[0].full_scale > 0.0


def test_compensation__refuses_wires_that_let_nothing_through(mixed_network, rng):
    with pytest.raises(MappingError, match=r"the wires of chip 'adaptive2d' let no current through: Wires\(.*inf"):
        compile_network(mixed_network, small(wires__r_driver="inf"), images(rng, 2))
