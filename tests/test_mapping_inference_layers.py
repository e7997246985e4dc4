"""Every kind of layer on a chip: exact where nothing deviates, counted as estimated, noisy step by step."""

import dataclasses

import numpy as np
import pytest

from crossbar import Activity
from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.networks import BatchNorm, ConvTranspose, Flatten, Linear, MatrixLayer, Network, Recurrent, Reshape
from mapping.networks.layers.examples import MADE, example_images, example_layers
from mapping.prices.estimates import estimate, histograms
from mapping.prices.timing import phases
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

CLASSES = ("a", "b", "c")
EXPECTED = ("joules_array", "row_pulses", "cell_reads", "gate_swing", "gate_holding", "joules_gates")


def example(name):
    return Network("example", (2, 5, 6), CLASSES, example_layers(name))


@pytest.mark.parametrize("name", MADE)
def test_ideal_chip__computes_every_kind_exactly(name):
    network, images = example(name), example_images(4)
    result = run(write(compile_network(network, load_hardware("ideal"), images)), images, precision="double")
    exact = network.forward(images)
    # the gate's law costs digits: 1e-13 of what the kernels of a dynamic layer hold
    np.testing.assert_allclose(result.logits, exact, rtol=0, atol=1e-12 * np.abs(exact).max())


@pytest.mark.parametrize("name", MADE)
def test_run__of_every_kind_is_counted_as_estimated(name):
    images = example_images(4)
    program = compile_network(example(name), load_hardware("ideal").with_values(["dac.bits=8"]), images)
    found = estimate(program, histograms(program, images))
    for trace in run(write(program), images, precision="double").layers:
        if trace.name not in found:
            assert trace.activity == Activity()
            continue
        for item in dataclasses.fields(Activity):
            ran, said = getattr(trace.activity, item.name), getattr(found[trace.name], item.name)
            near = 5e-2 if item.name in EXPECTED else 1e-12
            assert said == pytest.approx(ran, rel=near), (trace.name, item.name)


@pytest.mark.parametrize("name", [name for name in MADE if name.startswith(("Conv", "Linear", "Recurrent"))])
def test_real_chip__errs_little_and_needs_its_matrices(name):
    network, images = example(name), example_images(40)
    program = compile_network(network, load_hardware("adaptive2d"), images)
    layer = program.folded.layer("layer")
    assert isinstance(layer, MatrixLayer)
    assert len(program.matrices["layer"]) == layer.groups
    result = run(write(program, 1), images[:8], seed=2)
    own = next(trace for trace in result.layers if trace.name == "layer")
    assert 1e-6 < own.own_error < 0.3
    assert own.kind != "digital"


def test_run__of_every_kind_depends_on_neither_batches_nor_neighbours():
    for name in ("Recurrent, lstm", "ConvTranspose, in groups", "Linear", "Conv, one-dimensional"):
        images = example_images(4)
        chip = write(compile_network(example(name), load_hardware("adaptive2d"), images), 1)
        np.testing.assert_array_equal(run(chip, images, batch=1).logits, run(chip, images, batch=4).logits)


def sequence(rng, kind="rnn-tanh", gates=1, steps=6):
    """A recurrent layer whose state does not come back, on a sequence of equal steps."""
    layers = (
        Reshape("steps", ("input",), (steps, 3)),
        Recurrent(
            "recurrent", ("steps",), rng.normal(size=(4 * gates, 3)), 1e-3 * rng.normal(size=(4 * gates, 4)),
            None, rng.normal(size=4 * gates), kind,
        ),
        Flatten("flat", ("recurrent",)),
        Linear("classes", ("flat",), np.eye(4 * steps)),
    )  # fmt: skip
    network = Network("sequence", (1, steps, 3), tuple(map(str, range(4 * steps))), layers)
    return network, np.repeat(rng.normal(size=(3, 1, 1, 3)), steps, axis=2)


def test_recurrent__has_noise_of_its_own_in_every_step(rng):
    network, images = sequence(rng)
    hardware = load_hardware("ideal")
    noisy = dataclasses.replace(hardware, noise=load_hardware("adaptive2d").noise)
    chip = write(compile_network(network, noisy, images))
    states = run(chip, images, seed=3).logits.reshape(3, 6, 4)
    exact = network.forward(images).reshape(3, 6, 4)
    off = states - exact
    assert np.ptp(exact[:, 1:], axis=1).max() < 1e-2  # equal steps give nearly equal states
    assert off.std() > 1e-6
    assert np.abs(np.corrcoef(off[:, 2].ravel(), off[:, 3].ravel())[0, 1]) < 0.9
    np.testing.assert_array_equal(states, run(chip, images, seed=3).logits.reshape(3, 6, 4))
    assert np.any(states != run(chip, images, seed=4).logits.reshape(3, 6, 4))


def test_recurrent__adjustment_of_its_matrices_repairs_what_converters_shift():
    images = example_images(64)
    hardware = load_hardware("adaptive2d").with_values(["adc.offset=3.0"])
    program = compile_network(example("Recurrent, rnn-relu"), hardware, images)
    bare = dataclasses.replace(hardware, tile=dataclasses.replace(hardware.tile, adjust_outputs=False))
    errors = []
    for each in (bare, hardware):
        chips = [write(dataclasses.replace(program, hardware=each), seed) for seed in range(3)]
        traces = [trace for chip in chips for trace in run(chip, images[:32]).layers if trace.name == "layer"]
        errors.append(np.mean([trace.own_error for trace in traces]))
        assert {matrix.name for matrix in program.matrices["layer"]} <= set(chips[0].adjustments) or each is bare
    assert errors[1] < 0.7 * errors[0]


def test_transposed__reads_each_input_pixel_once(rng):
    layer = ConvTranspose("layer", ("input",), rng.normal(size=(2, 3, 4, 4)), None, (2, 2), (1, 1))
    flat = Flatten("flat", ("layer",))
    layers = (layer, flat, Linear("classes", ("flat",), rng.normal(size=(3, 3 * 10 * 12))))
    network = Network("transposed", (2, 5, 6), CLASSES, layers)
    program = compile_network(network, load_hardware("ideal"), example_images(2))
    (matrix,) = program.matrices["layer"]
    assert (matrix.rows, matrix.outputs, matrix.positions) == (2, 3 * 16, 30)
    assert program.operations == 2 * (30 * 2 * 48 + 3 * 360)


def test_batch_norm__behind_a_transposed_convolution_is_folded(rng):
    weight = rng.normal(size=(2, 2, 3, 2))
    layers = (
        ConvTranspose("layer", ("input",), weight, rng.normal(size=4), (2, 1), groups=2),
        BatchNorm("norm", ("layer",), *rng.normal(size=(3, 4)), rng.uniform(0.5, 2.0, size=4)),
        Flatten("flat", ("norm",)),
        Linear("classes", ("flat",), rng.normal(size=(3, 4 * 11 * 7))),
    )
    network = Network("folded", (2, 5, 6), CLASSES, layers)
    images = example_images(3)
    program = compile_network(network, load_hardware("ideal"), images)
    assert [layer.name for layer in program.folded.layers] == ["layer", "flat", "classes"]
    np.testing.assert_allclose(program.folded.forward(images), network.forward(images), rtol=1e-11)


def test_batch_norm__behind_a_layer_along_the_last_axis_is_not_folded(rng):
    layers = (
        Reshape("steps", ("input",), (4, 15)),
        Linear("layer", ("steps",), rng.normal(size=(4, 15))),
        BatchNorm("norm", ("layer",), *rng.normal(size=(3, 4)), rng.uniform(0.5, 2.0, size=4)),
        Flatten("flat", ("norm",)),
        Linear("classes", ("flat",), rng.normal(size=(3, 16))),
    )
    network = Network("kept", (2, 5, 6), CLASSES, layers)
    program = compile_network(network, load_hardware("ideal"), example_images(3))
    assert "norm" in {layer.name for layer in program.folded.layers}


def test_recurrent__waits_for_its_gates_in_every_step(rng):
    """By hand: each step reads the state for both signs, converts, adds one row tile and passes six digital steps."""
    hardware = load_hardware("ideal")
    costs, dac, adc = hardware.costs, hardware.dac, hardware.adc
    convert = min(adc.columns, 4) / adc.sample_rate
    steps = {}
    for count in (5, 6):
        network, images = sequence(rng, steps=count)
        program = compile_network(network, hardware, images)
        assert [matrix.kind for matrix in program.matrices["recurrent"]] == ["recurrent input", "recurrent state"]
        steps[count] = phases(program, "recurrent", costs)["read"]
    reads = 2 * dac.conversions
    read = dac.t_read + hardware.sense.t_settle
    wanted = reads * max(read, convert) + min(read, convert) + (1 + 6) * costs.t_digital
    assert steps[6] - steps[5] == pytest.approx(wanted, rel=0.02)  # the input's share of a step hardly changes
    assert 6 * wanted < steps[6] < 7 * wanted  # and one read of the input before
