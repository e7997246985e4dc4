"""Inference on a chip: equal to the exact network without deviations; noise independent of batches and threads."""

import dataclasses
import itertools
import os

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from crossbar import Activity, Wires
from devices.cells.ohmic import Resistor
from devices.errors import ParameterError
from devices.noise.read_noise import ReadNoise
from devices.numerics import worker_threads
from devices.numerics.random_streams import stream_keys
from devices.writing.spread import Spread
from mapping.data.datasets import load_dataset
from mapping.hardware.description import LAYOUTS, Hardware
from mapping.hardware.description_files import load_hardware
from mapping.inference import layer_run
from mapping.inference.running import run
from mapping.networks import (
    Add,
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    DynamicConv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Network,
    Relu,
    Softmax,
)
from mapping.networks.models import load_model
from mapping.placement.encoding import gate_floor
from mapping.prices.estimates import estimate, histograms
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

SHAPE = (2, 9, 8)
ZOO = ("dvgg-digits", "vgg-digits")


def attention(rng, channels, kernels, kind="softmax", temperature=1.0):
    return Attention(
        rng.normal(size=(3, channels)), rng.normal(size=3), rng.normal(size=(kernels, 3)), rng.normal(size=kernels),
        temperature, kind,
    )  # fmt: skip


def dynamic(rng, name, source, c_in, c_out, *, kernels=3, kind="softmax", groups=1, **geometry):
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)} | geometry
    return DynamicConv(
        name, (source,), rng.normal(size=(kernels, c_out, c_in // groups, 3, 3)), rng.normal(size=(kernels, c_out)),
        groups=groups, attention=attention(rng, c_in, kernels, kind), **options,
    )  # fmt: skip


def norm(rng, name, source, channels):
    gamma, beta, mean = rng.normal(size=(3, channels))
    return BatchNorm(name, (source,), gamma, beta, mean, rng.uniform(0.1, 2.0, channels))


def close(rng, source, width, classes=4):
    """Pool and linear layer that make classes of a map."""
    fc = Linear("fc", ("pool",), rng.normal(size=(classes, width)), rng.normal(size=classes))
    return GlobalAveragePool("pool", (source,)), fc


def network(*layers, classes=4):
    return Network("test", SHAPE, tuple("abcdefgh"[:classes]), layers)


def plain(rng):
    return network(
        Conv("conv", ("input",), rng.normal(size=(5, 2, 3, 3)), rng.normal(size=5), padding=(1, 1)),
        Relu("relu", ("conv",)), *close(rng, "relu", 5),
    )  # fmt: skip


def strided(rng):
    return network(
        Conv("conv", ("input",), rng.normal(size=(6, 2, 3, 2)), None, (2, 1), (2, 1), (1, 2)),
        Relu("relu", ("conv",)),
        Conv("deep", ("relu",), rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4), (1, 2), (0, 1), groups=2),
        *close(rng, "deep", 4),
    )


def mixed(rng):
    return network(
        dynamic(rng, "first", "input", 2, 4), Relu("relu", ("first",)),
        dynamic(rng, "second", "relu", 4, 6, kernels=4, groups=2, stride=(2, 2), dilation=(2, 1)),
        *close(rng, "second", 6),
    )  # fmt: skip


def normed(rng):
    """Norms behind conv, dynamic conv and linear, folded, and one behind a ReLU, kept."""
    return network(
        Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3))), norm(rng, "norm1", "conv", 4),
        Relu("relu", ("norm1",)), norm(rng, "norm2", "relu", 4),
        dynamic(rng, "mixed", "norm2", 4, 5), norm(rng, "norm3", "mixed", 5),
        *close(rng, "norm3", 5), norm(rng, "norm4", "fc", 4),
    )  # fmt: skip


def pooled(rng):
    return network(
        MaxPool("max", ("input",), (3, 2), (2, 1), (1, 0)),
        Conv("conv", ("max",), rng.normal(size=(4, 2, 3, 3)), padding=(1, 1)),
        AveragePool("mean", ("conv",), (2, 2), (1, 2), (1, 1), count_padding=False),
        Flatten("flat", ("mean",)), Linear("fc", ("flat",), rng.normal(size=(4, 96)) / 10), Softmax("shares", ("fc",)),
    )  # fmt: skip


def residual(rng):
    """Two paths that join, one of them dynamic; inputs of the last convolution have both signs."""
    return network(
        Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)), padding=(1, 1)),
        dynamic(rng, "mixed", "conv", 4, 4), Conv("side", ("conv",), rng.normal(size=(4, 4, 1, 1))),
        Add("add", ("mixed", "side", "conv")), Conv("after", ("add",), rng.normal(size=(3, 4, 1, 1))),
        *close(rng, "after", 3),
    )  # fmt: skip


BUILDERS = {each.__name__: each for each in (plain, strided, mixed, normed, pooled, residual)}


def images(rng, count, *, signed=False):
    return rng.normal(size=(count, *SHAPE)) if signed else rng.random((count, *SHAPE))


def agree(result, exact, error):
    np.testing.assert_allclose(result, exact, rtol=0, atol=error * np.abs(exact).max())


def perfect_chips():
    small = Hardware().with_values(["tile.rows=11", "tile.columns=8"])
    return {
        "ideal": load_hardware("ideal"),
        "adaptive2d idealised": load_hardware("adaptive2d").idealised(),
        "small tiles idealised": small.idealised(),
        "amplitude idealised": dataclasses.replace(
            small.idealised(), dac=dataclasses.replace(small.dac, bits=None, coding="amplitude")
        ),
    }


# equivalence


@pytest.mark.parametrize(
    ("chip", "build", "signed"),
    [
        *(("ideal", build, signed) for build in BUILDERS for signed in (False, True)),
        *(("small tiles idealised", build, True) for build in BUILDERS),
        *(("adaptive2d idealised", build, False) for build in ("mixed", "normed")),
        ("amplitude idealised", "residual", True),
    ],
)
def test_perfect_chip__computes_the_exact_network(chip, build, signed, rng):
    """Images beyond those of the calibration are in it: a continuous converter has no range."""
    exact = BUILDERS[build](rng)
    test = 3.0 * images(rng, 5, signed=signed)
    program = compile_network(exact, perfect_chips()[chip], images(rng, 4, signed=signed))
    result = run(write(program), test, precision="double")
    agree(result.logits, exact.forward(test), 1e-10)
    agree(result.exact, exact.forward(test), 1e-12)
    assert max(layer.error for layer in result.layers) < 1e-10


@pytest.mark.parametrize("build", ["plain", "strided", "pooled"])
def test_perfect_resistors__compute_a_static_network(build, rng):
    hardware = dataclasses.replace(Hardware(), cell=Resistor()).idealised()
    exact, test = BUILDERS[build](rng), images(rng, 5)
    agree(
        run(write(compile_network(exact, hardware, test)), test, precision="double").logits, exact.forward(test), 1e-10
    )


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("chip", ["ideal", "idealised"])
def test_perfect_chip__computes_the_zoo(name, chip):
    hardware = load_hardware("ideal") if chip == "ideal" else load_hardware("adaptive2d").idealised()
    exact, test = load_model(name), load_dataset("digits", "test", limit=100)
    program = compile_network(exact, hardware, load_dataset("digits", "train", limit=16).images)
    result = run(write(program), test.images, precision="double")
    agree(result.logits, exact.forward(test.images), 1e-10)
    assert result.accuracy(test.labels)[0] == result.accuracy(test.labels)[1] > 0.9


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shift", [0.0, -8.0])
def test_sigmoid_attention__is_exact_though_gates_never_close(layout, shift, rng):
    """Shares that do not sum to 1, at -8 all far below the gates' floor: docs/equations/encoding.md eq. 5."""
    layer = dynamic(rng, "mixed", "input", 2, 4, kind="sigmoid")
    attention = dataclasses.replace(layer.attention, bias_2=np.full(3, shift))
    layer = dataclasses.replace(layer, attention=attention)
    exact, test = network(layer, *close(rng, "mixed", 4)), images(rng, 6)
    hardware = load_hardware("ideal").with_values([f"mapping.layout={layout}"])
    assert gate_floor(hardware.cell) > 0.01
    shares = layer.attention.shares(test)
    assert shares.max() < 0.01 if shift else shares.max() > 0.1
    result = run(write(compile_network(exact, hardware, test)), test, precision="double")
    wanted = layer.apply(test)
    assert result.layers[0].own_error < 1e-10
    agree(result.logits, exact.layer("fc").apply(wanted.mean((2, 3))), 1e-10)


def test_sigmoid_attention__counts_no_swing_of_the_gate_that_is_held_open(rng):
    layer = dynamic(rng, "mixed", "input", 2, 4, kind="sigmoid")
    exact, test = network(layer, *close(rng, "mixed", 4)), images(rng, 4)
    program = compile_network(exact, load_hardware("ideal"), test)
    (matrix,) = program.matrices["mixed"]
    assert (matrix.kernels, layer.kernels, matrix.held) == (4, 3, True)
    done = run(write(program), test).layers[0].activity
    assert done.gate_updates == 3
    assert estimate(program, histograms(program, test))["mixed"].gate_swing == pytest.approx(done.gate_swing, rel=1e-5)


def test_sigmoid_attention__without_a_floor_is_exact(rng):
    cell = dataclasses.replace(load_hardware("ideal").cell, gain_min=0.0, v_gate_min=-30.0)
    hardware = dataclasses.replace(load_hardware("ideal"), cell=cell)
    assert gate_floor(cell) < 1e-8
    exact, test = network(dynamic(rng, "mixed", "input", 2, 4, kind="sigmoid"), *close(rng, "mixed", 4)), images(rng, 4)
    agree(
        run(write(compile_network(exact, hardware, test)), test, precision="double").logits, exact.forward(test), 1e-7
    )


def test_biases__are_mixed_by_the_attention(rng):
    """Kernels of zeros: all that is left is the mixture of the biases, with the attention that the chip computed."""
    layer = dataclasses.replace(dynamic(rng, "mixed", "input", 2, 4), weight=np.zeros((3, 4, 2, 3, 3)))
    exact = network(layer, *close(rng, "mixed", 4))
    test = images(rng, 6) * np.linspace(0.0, 2.0, 6)[:, None, None, None]
    result = run(write(compile_network(exact, load_hardware("ideal"), test)), test, precision="double")
    mixed_bias = layer.attention.shares(test) @ layer.bias
    agree(result.logits, exact.layer("fc").apply(mixed_bias), 1e-12)
    assert mixed_bias.std(0).max() > 0.01  # which differs between images


@pytest.mark.parametrize("coding", ["pulse-width", "bit-serial", "amplitude"])
def test_converters__approach_the_exact_network_with_their_resolution(coding, rng):
    """Four bits more are sixteen times less error, within a factor of three."""
    exact, test = mixed(rng), images(rng, 6)
    errors = []
    for bits in (6, 10, 14):
        hardware = load_hardware("ideal").with_values(
            [f"dac.bits={bits}", f"dac.coding={coding}", f"adc.bits={bits}", f"gate_dac.bits={bits}"]
        )
        result = run(write(compile_network(exact, hardware, test)), test)
        errors.append(np.abs(result.logits - result.exact).max() / np.abs(result.exact).max())
    assert errors[0] < 0.5
    for coarse, fine in itertools.pairwise(errors):
        assert 5.0 < coarse / fine < 50.0


def test_calibration__saturates_what_it_has_not_met(rng):
    """Finite converters keep the range of the calibration: larger images are clipped, not wrapped."""
    exact, test = plain(rng), images(rng, 4)
    hardware = load_hardware("ideal").with_values(["dac.bits=14", "adc.bits=16"])
    chip = write(compile_network(exact, hardware, test))
    within = run(chip, test)
    agree(within.logits, within.exact, 1e-3)
    beyond = run(chip, 4.0 * np.minimum(test / test.max(), 0.999) * test.max())
    assert np.abs(beyond.logits - beyond.exact).max() > 0.1 * np.abs(beyond.exact).max()
    assert np.abs(beyond.logits).max() < 2.0 * np.abs(within.logits).max()


# seeds, batches, threads


@pytest.fixture(scope="module")
def noisy():
    """A chip with every deviation, its images and one run of them."""
    rng = np.random.default_rng(5)
    program = compile_network(mixed(rng), Hardware().with_values(["tile.rows=11", "tile.columns=8"]), images(rng, 4))
    test = images(rng, 7)
    chip = write(program, 3)
    return chip, test, run(chip, test, seed=3)


def test_run__again_is_bit_for_bit_the_same(noisy):
    chip, test, first = noisy
    again = run(chip, test, seed=3)
    assert np.array_equal(again.logits, first.logits)
    rewritten = run(write(chip.program, 3), test, seed=3)
    assert np.array_equal(rewritten.logits, first.logits)
    for one, two in zip(again.layers, first.layers, strict=True):
        assert (one.name, one.error, one.own_error, one.activity) == (two.name, two.error, two.own_error, two.activity)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_run__batch_size_changes_nothing(noisy, batch):
    chip, test, first = noisy
    other = run(chip, test, seed=3, batch=batch)
    np.testing.assert_array_equal(other.logits, first.logits)
    for one, two in zip(other.layers, first.layers, strict=True):
        assert one.error == pytest.approx(two.error, rel=1e-5)
        np.testing.assert_allclose(dataclasses.astuple(one.activity), dataclasses.astuple(two.activity), rtol=1e-9)


def test_run__threads_change_nothing(noisy):
    chip, test, first = noisy
    before = worker_threads.threads()
    for count in {1, min(2, os.cpu_count() or 1)}:
        try:
            worker_threads.set_threads(min(count, before))
            with threadpool_limits(limits=count):
                np.testing.assert_array_equal(run(chip, test, seed=3).logits, first.logits)
                np.testing.assert_array_equal(run(write(chip.program, 3), test, seed=3).logits, first.logits)
        finally:
            worker_threads.set_threads(before)


def test_run__single_precision_is_double_to_its_rounding(noisy):
    """A current near the edge of two codes may still be rounded to the other one."""
    chip, test, first = noisy
    double = run(chip, test, seed=3, precision="double")
    agree(first.logits, double.logits, 1e-2)
    assert np.median(np.abs(first.logits - double.logits)) < 1e-5 * np.abs(double.logits).max()


def test_run__images_keep_their_noise_by_position(noisy):
    """The first three of seven images see what they would see alone."""
    chip, test, first = noisy
    np.testing.assert_array_equal(run(chip, test[:3], seed=3).logits, first.logits[:3])


def test_run__another_seed_is_other_noise_and_another_chip(noisy):
    chip, test, first = noisy
    scale = np.abs(first.logits).max()
    noise = run(chip, test, seed=4).logits
    other = run(write(chip.program, 4), test, seed=3).logits
    assert np.abs(noise - first.logits).max() > 1e-3 * scale
    assert np.abs(other - first.logits).max() > 1e-3 * scale


def test_run__equal_images_see_different_noise(noisy):
    chip, test, _ = noisy
    logits = run(chip, np.repeat(test[:1], 4, axis=0), seed=3).logits
    assert len(np.unique(logits.round(12), axis=0)) == 4


def test_run__without_noise_equal_images_give_equal_logits(noisy):
    chip, test, _ = noisy
    silent = dataclasses.replace(chip.program.hardware, noise=ReadNoise.none())
    quiet = dataclasses.replace(chip.program, hardware=silent)
    result = run(write(quiet, 3), np.repeat(test[:1], 4, axis=0), seed=3)
    agree(result.logits[1:], result.logits[:1].repeat(3, 0), 1e-12)
    agree(run(write(quiet, 3), np.repeat(test[:1], 4, axis=0), seed=9).logits, result.logits, 1e-12)


def test_noise__no_two_reads_share_a_stream(rng, monkeypatch):
    """Over matrices, tiles, signs, images and bits, however the batches fall."""
    hardware = Hardware().with_values(["tile.rows=16", "dac.coding=bit-serial", "tile.gate_nodes=4"])
    exact, test = residual(rng), images(rng, 5, signed=True)
    chip = write(compile_network(exact, hardware, test))
    drawn = []

    def recorded(*arguments):
        drawn.append(stream_keys(*arguments))
        return drawn[-1]

    monkeypatch.setattr(layer_run, "stream_keys", recorded)
    run(chip, test, batch=2)
    keys = np.concatenate(drawn)
    assert len(keys) >= 5 * 19
    bits = keys[:, None] + np.arange(8, dtype=np.uint64)
    assert len(np.unique(bits)) == bits.size
    again = len(drawn)
    run(chip, test, seed=1, batch=2)
    assert not set(np.concatenate(drawn[again:])) & set(keys)


def test_noise__averages_out(rng):
    """Thermal, shot and 1/f noise alone, continuous converters: many reads of one image centre on the exact logits."""
    exact = plain(rng)
    hardware = dataclasses.replace(load_hardware("ideal"), noise=ReadNoise())
    image = images(rng, 1)
    chip = write(compile_network(exact, hardware, image))
    logits = run(chip, np.repeat(image, 256, axis=0)).logits
    off = logits.mean(0) - exact.forward(image)[0]
    deviation = logits.std(0)
    assert (deviation > 0).all()
    assert (np.abs(off) < 5.0 * deviation / np.sqrt(256)).all()


# traces


def test_trace__errors_are_what_they_say(noisy):
    """Recomputed by hand for the first layer, where own error and error coincide, and for the last."""
    chip, test, result = noisy
    first, last = result.layers[0], result.layers[-1]
    assert (first.name, first.kind) == ("first", "dynamic conv")
    assert first.error == pytest.approx(first.own_error, rel=1e-6)  # the image itself is rounded to float32
    assert first.error > 1e-3
    assert last.name == "fc"
    wanted = chip.program.folded.activations(test)["fc"]  # layers are compared in double precision
    agree(result.exact, wanted, 1e-5)
    error = np.linalg.norm(result.logits - wanted) / np.linalg.norm(wanted)
    assert last.error == pytest.approx(error, rel=1e-12)
    assert [layer.kind for layer in result.layers] == ["dynamic conv", "digital", "dynamic conv", "digital", "linear"]
    assert result.layers[1].own_error == 0.0


def test_trace__attention_is_what_the_chip_asked_for(rng):
    exact, test = mixed(rng), images(rng, 5)
    result = run(write(compile_network(exact, load_hardware("ideal"), test)), test, batch=2, precision="double")
    values = exact.activations(test)
    for layer in result.layers:
        if layer.kind == "dynamic conv":
            np.testing.assert_allclose(layer.attention, values[f"{layer.name}.attention"], rtol=1e-9)
        else:
            assert layer.attention is None


def test_activity__by_hand(rng):
    """One dynamic layer and its attention on an image of 9 × 8, tiles of 10 rows and 3 pairs, inputs of both signs."""
    layer = dynamic(rng, "mixed", "input", 2, 4)  # 18 rows, 4 outputs, 3 kernels, 72 positions
    fc = Linear("fc", ("pool",), rng.normal(size=(4, 4)))
    exact = network(layer, GlobalAveragePool("pool", ("mixed",)), fc)
    hardware = load_hardware("ideal").with_values(["tile.rows=10", "tile.columns=6"])
    test = images(rng, 3, signed=True)
    test[..., 0, 0] = 0.0  # some codes are 0 at either sign
    program = compile_network(exact, hardware, test)
    result = run(write(program), test, precision="double")
    activity = result.layers[0].activity
    tiles, signs = 2 * 2, 2  # rows 9 + 9, pairs 2 + 2
    matrices = program.of("mixed")
    assert [matrix.signed for matrix in matrices] == [True, True, False]
    conv_reads = signs * tiles * 3 * 72
    fc_reads = signs * 1 + 1 * 1  # 2 → 3 values from both signs, in one tile of 2 rows, 3 pairs; 3 → 3 in one tile
    assert activity.reads == conv_reads + fc_reads
    assert activity.conversions == signs * tiles * 72 * 2 + signs * 3 + 3
    assert activity.row_codes == signs * tiles * 72 * 9 * 3 + signs * 2 + 3
    x = np.pad(test, ((0, 0), (0, 0), (1, 1), (1, 1)))
    lit = sum(np.count_nonzero(x[:, :, i : i + 3, j : j + 3]) for i in range(9) for j in range(8)) / 3
    pulses = lit * 2 * 3  # each row drives both pieces of columns in three kernels, at one sign or the other
    values = exact.activations(test)
    pooled_x = test.mean((2, 3))
    hidden = np.maximum(pooled_x @ layer.attention.weight_1.T + layer.attention.bias_1, 0.0)
    attention_pulses = np.count_nonzero(pooled_x) / 3 + np.count_nonzero(hidden) / 3
    assert activity.row_pulses == pytest.approx(pulses + attention_pulses)
    assert activity.cell_reads == pytest.approx(
        pulses * 2 * 2 + np.count_nonzero(pooled_x) / 3 * 2 * 3 + np.count_nonzero(hidden) / 3 * 2 * 3
    )
    assert activity.gate_updates == 3 * tiles
    cell = hardware.cell
    gains = cell.gain_low + values["mixed.attention"] * (cell.gain_high - cell.gain_low)
    swing = np.sum((cell.gate_voltage(gains) - cell.v_gate_min) ** 2) / 3
    assert activity.gate_swing == pytest.approx(swing * 2 * 18 * 4, rel=1e-9)
    partial = 2 * signs  # row pieces and signs that add up
    additions = 72 * 4 * (partial - 1 + 1) + 4 * (3 - 1)  # and the bias, itself mixed of three
    additions += 3 * (signs - 1 + 1) + 3 * (0 + 1) + test[0].size  # both FC layers with bias; the pooling
    multiplications = 72 * 4 + 4 * 3 + 3 + 3 + 2 + 2 * 3  # results, mixed bias, FC results, means, softmax
    assert activity.additions == additions
    assert activity.multiplications == multiplications
    assert result.layers[1].activity == Activity()
    assert result.layers[2].activity.gate_updates == 0.0


def test_activity__counts_array_energy_by_hand(rng):
    """Ideal wires and cells: v_read² × conductance × the time that each row is on."""
    exact = network(Flatten("flat", ("input",)), Linear("fc", ("flat",), rng.normal(size=(4, 144))))
    hardware = dataclasses.replace(load_hardware("ideal"), tile=dataclasses.replace(Hardware().tile, rows=256))
    test = images(rng, 2)
    program = compile_network(exact, hardware, test)
    joules = run(write(program), test, precision="double").layers[1].activity.joules_array
    matrix, dac = program.matrices["fc"][0], hardware.dac
    on = test.reshape(2, -1) / matrix.x_scale
    expected = (on @ matrix.conductances[0].sum(1)).mean() * dac.v_read**2 * dac.t_read
    assert joules == pytest.approx(expected, rel=1e-12)


# the door


def test_run__of_no_images_is_empty(noisy):
    chip, _, _ = noisy
    result = run(chip, np.empty((0, *SHAPE)))
    assert result.logits.shape == result.exact.shape == (0, 4)
    assert result.layers == ()


def test_run__reports_progress(noisy):
    chip, test, _ = noisy
    done = []
    run(chip, test, batch=2, progress=done.append)
    assert done == [2, 4, 6, 7]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": np.zeros((2, 9, 8))}, r"images must have shape \(any, 2, 9, 8\), got \(2, 9, 8\)"),
        ({"images": np.zeros((1, 3, 9, 8))}, r"images must have shape \(any, 2, 9, 8\), got \(1, 3, 9, 8\)"),
        ({"images": np.full((1, *SHAPE), np.nan)}, "images must hold no nan"),
        ({"batch": 0}, "batch must be ≥ 1, got 0"),
        ({"seed": -1}, "seed must be ≥ 0, got -1"),
    ],
)
def test_run__refuses_by_name(noisy, changes, words):
    chip, test, _ = noisy
    with pytest.raises(ParameterError, match=words):
        run(chip, **({"images": test} | changes))


def test_accuracy__wants_one_label_per_image(noisy):
    _, _, result = noisy
    assert result.accuracy(result.exact.argmax(1))[1] == 1.0
    with pytest.raises(ParameterError, match=r"labels must have shape \(7\), got \(6,\)"):
        result.accuracy(np.zeros(6, dtype=int))


def test_run__leaves_images_and_chip_alone(noisy):
    chip, test, _ = noisy
    before = test.copy()
    signal = chip.tiles["fc"][0].signal.copy()
    run(chip, test)
    assert np.array_equal(test, before)
    assert np.array_equal(chip.tiles["fc"][0].signal, signal)


def test_deviations__each_alone_moves_the_logits(rng):
    """Every spread, every noise, wires, cell and converters: none is lost on the way."""
    exact, test = mixed(rng), images(rng, 4)
    full = Hardware().with_values(["tile.compensate_wires=false", "tile.gate_nodes=5"])
    ideal = full.idealised()
    none = Spread.none()
    cases = {
        "wires": dataclasses.replace(ideal, wires=Wires(5.0, 5.0, 100.0, 50.0)),
        "cell": dataclasses.replace(ideal, cell=full.cell),
        "dac": dataclasses.replace(ideal, dac=full.dac),
        "adc": dataclasses.replace(ideal, adc=full.adc),
        "gate_dac": dataclasses.replace(ideal, gate_dac=full.gate_dac),
        "thermal": dataclasses.replace(ideal, noise=ReadNoise(flicker=False)),
        "flicker": dataclasses.replace(ideal, noise=ReadNoise(thermal_shot=False)),
        "telegraph": dataclasses.replace(ideal, noise=ReadNoise(thermal_shot=False, flicker=False, telegraph=True)),
        "unverified": dataclasses.replace(ideal, spread=Spread(verified=False)),
        **{
            each.name: dataclasses.replace(
                ideal, spread=dataclasses.replace(none, **{each.name: max(getattr(full.spread, each.name), 0.03)})
            )
            for each in dataclasses.fields(Spread)
            if each.name not in {"verified", "wire_temperature_coefficient"} and not each.name.startswith("cycle_")
        },
    }
    for name, hardware in cases.items():
        result = run(write(compile_network(exact, hardware, test)), test)
        error = np.abs(result.logits - result.exact).max() / np.abs(result.exact).max()
        assert 1e-6 < error < 1.0, name
