"""Training through the chip: the run's own outputs, order of convergence of derivatives, resuming, bad input."""

import csv

import numpy as np
import pytest

from devices.errors import ParameterError
from devices.numerics import random_streams
from mapping import compile_network, load_hardware, load_network, run, write
from tests.small_networks import joined

torch = pytest.importorskip("torch")

from mapping.training import ChipModule, Images, Schedule, fine_tune  # noqa: E402
from mapping.training.counter_noise import drawn, normals  # noqa: E402

CONTINUOUS = ("adc.bits=ideal", "dac.bits=ideal", "gate_dac.bits=ideal")
ERRING = (
    "adc.gain_error=0.03", "adc.inl=0.5", "adc.dnl=0.3", "adc.c_sample=1e-15", "adc.comparator_noise=1e-3",
    "adc.calibration=8", "dac.gain_error=0.02",
)  # fmt: skip
EXACT = (
    *CONTINUOUS, "noise.thermal_shot=false", "noise.flicker=false", "tile.compensate_wires=false",
    "tile.adjust_outputs=false", "spread.stuck_on=0", "spread.stuck_off=0", "spread.window_low_ln_sigma=0",
    "spread.window_high_cv=0", "spread.write_error=0", "retention.relaxation=false", "tile.gate_nodes=6",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network(rng):
    return joined(rng)


def program_of(rng, network, *settings, chip="adaptive2d"):
    hardware = load_hardware(chip).with_values(["tile.gate_nodes=6", *settings])
    return compile_network(network, hardware, rng.random((40, 2, 6, 5)))


# ---- forwards ----


@pytest.mark.parametrize(
    "settings",
    [
        CONTINUOUS, (), ("mapping.layout=digital",), ("wires.r_row=20", "adc.bits=6", "gate_dac.bits=4"),
        ("tile.rows=16", "tile.columns=8"), ("tile.adjust_outputs=false", "tile.compensate_wires=false"),
        ERRING, (*CONTINUOUS, "adc.gain_error=0.05", "adc.comparator_noise=1e-3", "dac.gain_error=0.05"),
        ("mapping.layout=stacked",), ("mapping.layout=reprogram",), ("tile.encoding=offset", "tile.rows=16"),
        ("tile.slices=2", "tile.levels=4"), ("tile.r_join=5", "wires.r_column=10"),
    ],
    ids=[
        "continuous", "default", "digital", "coarse", "small tiles", "plain", "erring", "continuous, erring", "stacked",
        "reprogram", "offset", "slices", "joined",
    ],
)  # fmt: skip
def test_forward__is_the_run(rng, network, settings):
    """Seeded alike: cells, conversions and noise are those of `run`; rounding may move a code at most now and then."""
    program, images = program_of(rng, network, *settings), rng.random((12, 2, 6, 5))
    chip = write(program, 3)
    exact = run(chip, images, seed=5).logits
    with torch.no_grad():
        got = ChipModule(program, 3, read_seed=5).eval()(torch.tensor(images)).numpy()
    size = np.abs(exact).max()
    assert np.median(np.abs(got - exact)) < 2e-6 * size
    assert np.abs(got - exact).max() < (2e-6 if settings == CONTINUOUS else 5e-2) * size


def test_forward__images_keep_their_noise_in_any_batch(rng, network):
    program, images = program_of(rng, network), torch.tensor(rng.random((9, 2, 6, 5)))
    module = ChipModule(program, 3).eval()
    with torch.no_grad():
        whole, late = module(images), module(images[5:], first=5)
    np.testing.assert_allclose(late.numpy(), whole[5:].numpy(), rtol=0.0, atol=2e-6 * float(whole.abs().max()))


def test_normals__are_those_of_the_processors_kernel():
    keys = random_streams.stream_keys(7, ("noise",), np.arange(3))
    for count in (4, 100, 1024, 2500):
        room = np.empty((3, random_streams.padded(count)), dtype=np.float32)
        for key, out in zip(keys, room, strict=True):
            random_streams.normals(key, out)
        got = normals(torch.as_tensor(keys.view(np.int64)), count).numpy()
        np.testing.assert_allclose(got, room[:, :count], rtol=0.0, atol=3e-6)
        np.testing.assert_array_equal(drawn(keys, count, "cpu").numpy(), room[:, :count])


# ---- backwards ----


@pytest.mark.parametrize(
    "settings",
    [
        (), ("mapping.layout=digital", "wires.r_row=30", "wires.r_column=30"),
        ("mapping.layout=stacked", "tile.gate_nodes=16"),  # forwards interpolates between nodes, backwards does not
        ("mapping.layout=reprogram", "wires.r_row=30"), ("tile.encoding=offset", "adc.gain_error=0.1"),
        ("tile.r_join=5", "wires.r_column=10", "dac.gain_error=0.1"),
    ],
    ids=["parallel", "digital", "stacked", "reprogram", "offset", "joined"],
)  # fmt: skip
def test_backward__what_a_step_leaves_falls_fourfold(rng, network, settings):
    """The whole chip, without rounding converters: half the step, a quarter of what first order leaves."""
    program, images = program_of(rng, network, *EXACT, *settings), torch.tensor(rng.random((5, 2, 6, 5)))
    module, factors = ChipModule(program, 3, precision="double").train(), torch.tensor(rng.normal(size=(5, 3)))
    loss = (module(images) * factors).sum()
    loss.backward()
    held = {name: part.detach().clone() for name, part in module.named_parameters()}
    for only in (None, "conv_weight", "mixed_weight", "mixed_attention_weight_1", "fc_weight"):
        toward = {
            name: torch.tensor(rng.normal(size=part.shape)) * part.abs() * float(only in (None, name))
            for name, part in held.items()
        }
        slope = sum(float((part.grad * toward[name]).sum()) for name, part in module.named_parameters())
        left = []
        for step in (2e-4, 1e-4):  # so short that hardly a rectifier turns on the way
            with torch.no_grad():
                for name, part in module.named_parameters():
                    part.copy_(held[name] + step * toward[name])
                left.append(float((module(images) * factors).sum()) - float(loss) - step * slope)
        assert abs(left[0] - 4.0 * left[1]) < 0.1 * abs(left[0]) + 1e-10


def test_backward__noise_and_converters_let_the_gradient_through(rng, network):
    """On a chip of 8 bits with noise, the gradient points where that of the chip without them does."""
    images, factors = torch.tensor(rng.random((20, 2, 6, 5))), torch.tensor(rng.normal(size=(20, 3)))
    grads = []
    for settings in ((), CONTINUOUS):
        module = ChipModule(program_of(np.random.default_rng(1), network, *settings), 3).train()
        (module(images).double() * factors).sum().backward()
        grads.append(torch.cat([part.grad.flatten().double() for part in module.parameters()]).numpy())
    cosine = grads[0] @ grads[1] / np.linalg.norm(grads[0]) / np.linalg.norm(grads[1])
    assert cosine > 0.98


def test_backward__rounded_weights_let_the_gradient_through(rng, network):
    """Weights of two slices get the gradient of weights of one continuous pair, but for what rounding them does."""
    images, factors = torch.tensor(rng.random((20, 2, 6, 5))), torch.tensor(rng.normal(size=(20, 3)))
    grads = []
    for settings in (("tile.slices=2", "tile.levels=16"), ()):
        program = program_of(np.random.default_rng(1), network, *EXACT, *settings)
        module = ChipModule(program, 3, precision="double").train()
        (module(images) * factors).sum().backward()
        grads.append(torch.cat([part.grad.flatten() for part in module.parameters()]).numpy())
    cosine = grads[0] @ grads[1] / np.linalg.norm(grads[0]) / np.linalg.norm(grads[1])
    assert cosine > 0.98


def test_simulated_writing__errors_of_the_pulses_are_held(rng, network):
    """The outputs are those of the run on cells that pulses wrote; a step moves them as it moves their targets."""
    program, images = program_of(rng, network, "tile.write=simulated", *CONTINUOUS), rng.random((6, 2, 6, 5))
    chip = write(program, 3)
    module = ChipModule(program, 3, read_seed=5, chip=chip, precision="double").train()
    exact = run(chip, images, seed=5, precision="double").logits
    loss = module(torch.tensor(images))
    np.testing.assert_allclose(loss.detach().numpy(), exact, rtol=0.0, atol=1e-9 * np.abs(exact).max())
    held = chip.simulated["conv"][0].g_filament
    with torch.no_grad():
        module.conv_weight.mul_(0.9)
    targets = module.encoded["conv"].targets(module.conv_weight)[0].detach().numpy()
    same = module.tiles["conv"].reduce(targets).written[0].g_filament
    np.testing.assert_allclose(same, held, rtol=1e-12)  # the weights still fill the window
    with torch.no_grad():
        module.conv_weight[:, 0].mul_(0.5)
    targets = module.encoded["conv"].targets(module.conv_weight)[0].detach().numpy()
    moved = module.tiles["conv"].reduce(targets).written[0].g_filament
    assert np.abs(moved - held).max() > 0.0
    loss.square().sum().backward()
    assert all(bool(torch.isfinite(part.grad).all()) for part in module.parameters())


def test_updates__between_reductions_are_of_second_order_but_for_crosstalk(rng, network):
    """A small step's signals follow without a reduction, and the next one says how far they were off."""
    program, images = program_of(rng, network, *EXACT), torch.tensor(rng.random((3, 2, 6, 5)))
    followed = ChipModule(program, 3, precision="double", reduce_every=2).train()
    solved = ChipModule(program, 3, precision="double").train()
    before = followed(images).detach()
    with torch.no_grad():
        for one, other in zip(followed.parameters(), solved.parameters(), strict=True):
            one.mul_(1.0 + 1e-3 * torch.tensor(rng.normal(size=one.shape)))
            other.copy_(one)
    exact = solved(images).detach()
    off = (followed(images).detach() - exact).abs().max()
    assert off < 0.05 * (exact - before).abs().max()
    followed(images)
    assert 0.0 < followed.update_error < 1e-3


# ---- the network ----


def test_network__compiled_again_it_gives_the_same_outputs(rng, network):
    program, images = program_of(rng, network), rng.random((6, 2, 6, 5))
    module = ChipModule(program, 3, read_seed=1)
    with torch.no_grad():
        for part in module.parameters():
            part.mul_(1.0 + 0.05 * torch.tensor(rng.normal(size=part.shape), dtype=part.dtype))
    module.refresh()
    again = compile_network(module.network(), program.hardware, program.calibration)
    exact = run(write(again, 3), images, seed=1).logits
    with torch.no_grad():
        got = module.eval()(torch.tensor(images)).numpy()
    assert np.median(np.abs(got - exact)) < 2e-6 * np.abs(exact).max()


def trained(rng, tmp_path=None, told=None, **changed):
    network = joined(np.random.default_rng(4))
    images = np.random.default_rng(5).random((24, 2, 6, 5))
    labels = network.forward(images).argmax(1)
    program = program_of(np.random.default_rng(6), network, "adc.bits=6")
    schedule = Schedule(**{"epochs": 3, "batch": 8, "rate": 3e-3, "seed": 2, **changed})
    module = ChipModule(program, 2, reduce_every=2)
    data = Images(images, labels)
    return fine_tune(module, data, data, schedule, folder=tmp_path, told=told), module


def test_fine_tune__a_killed_training_goes_on_bit_for_bit(rng, tmp_path):
    class KilledError(Exception):
        pass

    def kill(done, total, row):
        assert total == 9
        if done == 5:
            raise KilledError

    rows, module = trained(rng, tmp_path / "whole")
    with pytest.raises(KilledError):
        trained(rng, tmp_path / "killed", told=kill)
    resumed, other = trained(rng, tmp_path / "killed")
    assert resumed == rows
    for one, same in zip(module.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), same.detach().numpy())
    for name in ("log.csv", "network.npz"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    assert (tmp_path / "whole" / "learning.png").stat().st_size > 10_000
    held = load_network(tmp_path / "whole" / "network.npz")
    assert held.card["fine_tuned"]["epochs"] == 3
    with (tmp_path / "whole" / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]


def test_fine_tune__learns_on_the_chip(rng):
    rows, _ = trained(rng, epochs=6)
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"]


def test_fine_tune__other_chips_are_other_cells(rng):
    rows, _ = trained(rng, chips="anew", epochs=2)
    assert [row["chip"] for row in rows] == [2, 1002, 2002]


# ---- bad input ----


def test_training__bad_input_is_refused(rng, network, tmp_path):
    program = program_of(rng, network)
    with pytest.raises(ParameterError, match="precision must be one of single, double, got 'half'"):
        ChipModule(program, precision="half")
    with pytest.raises(ParameterError, match="reduce_every must be"):
        ChipModule(program, reduce_every=0)
    with pytest.raises(ParameterError, match=r"dac\.coding must be 'pulse-width' for ChipModule, got 'amplitude'"):
        ChipModule(program_of(rng, network, "dac.coding=amplitude"))
    with pytest.raises(ParameterError, match="chips must be one of one, anew, got 'all'"):
        Schedule(chips="all")
    with pytest.raises(ParameterError, match="rate must be > 0"):
        Schedule(rate=0.0)
    trained(rng, tmp_path, epochs=1)
    with pytest.raises(ParameterError, match="is the checkpoint of another training"):
        trained(rng, tmp_path, epochs=2)
    (tmp_path / "checkpoint.pt").write_bytes(b"no zip file")
    with pytest.raises(ParameterError, match="must be a checkpoint of a training"):
        trained(rng, tmp_path, epochs=1)
