"""Training of the zoo's networks: fast kernels against plain ones, resumed runs, stored against trained networks."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from benchmarks import attention  # noqa: E402
from benchmarks.train import cifar10, growth, layers, mixture, noise, winograd  # noqa: E402
from mapping import load_model  # noqa: E402
from mapping.networks import DynamicConv, load_network  # noqa: E402
from mapping.placement.folding import fold  # noqa: E402

CPU = torch.device("cpu")


def plain_mixture(x, weight, shares):
    """One convolution for each kernel, then the weighted sum."""
    every = [functional.conv2d(x, kernel, padding=1) for kernel in weight]
    return sum(shares[:, k, None, None, None] * y for k, y in enumerate(every))


def compared(make, inputs):
    """Value and gradients of a scalar of make(*inputs)."""
    held = [x.clone().requires_grad_() for x in inputs]
    y = make(*held)
    (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    return [y.detach(), *(x.grad for x in held)]


@pytest.mark.parametrize(("k", "size"), [(1, (4, 4)), (4, (7, 6)), (3, (1, 9)), (4, (14, 13)), (1, (14, 13))])
def test_winograd__equals_one_convolution_for_each_kernel(k, size):
    torch.manual_seed(0)
    inputs = torch.randn(2, 16, *size), torch.randn(k, 8, 16, 3, 3), torch.rand(2, k)
    fast, slow = compared(winograd.convolve, inputs), compared(plain_mixture, inputs)
    for a, b in zip(fast, slow, strict=True):  # float32, and the transforms cost about a digit
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * float(b.abs().max()))


def test_winograd__without_shares_is_a_convolution():
    torch.manual_seed(1)
    inputs = torch.randn(70, 8, 9, 9), torch.randn(1, 16, 8, 3, 3)  # several groups of windows
    fast = compared(winograd.convolve, inputs)
    slow = compared(lambda x, weight: functional.conv2d(x, weight[0], padding=1), inputs)
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * float(b.abs().max()))


def test_winograd__refuses_channels_that_fill_no_vector():
    with pytest.raises(ValueError, match="channels must be multiples of 8, got 3 and 16"):
        winograd.convolve(torch.randn(2, 3, 5, 5), torch.randn(1, 16, 3, 3, 3))


@pytest.mark.parametrize(("k", "size"), [(4, (7, 6)), (8, (1, 9)), (4, (5, 5))])
def test_mixture__equals_one_convolution_for_each_kernel_to_half_precision(k, size, monkeypatch):
    monkeypatch.setattr(mixture, "MIXED", 5 * 9 * 16 * 54)  # several groups of images, the last one smaller
    torch.manual_seed(12)
    inputs = torch.randn(13, 16, *size), torch.randn(k, 24, 16, 3, 3), torch.rand(13, k)
    fast = compared(lambda *x: mixture.convolve(*x).float(), inputs)
    for a, b in zip(fast, compared(plain_mixture, inputs), strict=True):
        assert float((a - b).norm() / b.norm()) < 0.005  # bfloat16 rounds by 2**-9 at most, 0.0017 rms


def test_mixture__first_layer_takes_no_gradient_of_its_input():
    torch.manual_seed(13)
    x, weight, shares = torch.randn(3, 8, 5, 5), torch.randn(4, 8, 8, 3, 3).requires_grad_(), torch.rand(3, 4)
    mixture.convolve(x, weight, shares).float().square().sum().backward()
    held, weight.grad = weight.grad, None
    mixture.convolve(x.requires_grad_(), weight, shares).float().square().sum().backward()
    assert torch.equal(held, weight.grad)
    assert x.grad is not None


@pytest.mark.parametrize("shape", [(5, 3, 12, 12), (5, 3, 2, 2), (5, 64, 6, 6)])
def test_mixed__is_the_same_in_every_way_it_is_computed(shape):
    torch.manual_seed(2)
    inputs = torch.randn(shape), torch.randn(4, 64, shape[1], 3, 3), torch.softmax(torch.randn(5, 4), 1)
    for a, b in zip(compared(layers.mixed, inputs), compared(plain_mixture, inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * float(b.abs().max()))


def test_orthogonal__brings_singular_values_near_one():
    torch.manual_seed(3)
    for shape in ((2, 8, 30), (2, 30, 8)):
        before = torch.linalg.svdvals(torch.randn(shape))
        after = torch.linalg.svdvals(cifar10.orthogonal(torch.randn(shape), steps=5))
        assert before.max() / before.min() > 2.0
        assert 0.5 < after.min() <= after.max() < 1.5  # the quintic swings between 0.7 and 1.2


def test_muon__keeps_each_kernels_norm():
    p = torch.nn.Parameter(torch.randn(3, 16, 4, 3, 3))
    p.grad = torch.randn_like(p)
    cifar10.Muon([p], lr=1e-6, momentum=0.8, parting=0.5).step()
    np.testing.assert_allclose(p.detach().flatten(1).norm(dim=1), 4.0, rtol=1e-4)


@pytest.mark.parametrize("parting", [0.0, 0.3])
def test_muon__grown_kernels_move_as_one_and_apart(parting):
    torch.manual_seed(11)
    one = torch.nn.Parameter(torch.randn(1, 8, 4, 3, 3))
    four = torch.nn.Parameter(one.detach().repeat(4, 1, 1, 1, 1))
    single, grown = cifar10.Muon([one], 0.04, 0.8, parting), cifar10.Muon([four], 0.04, 0.8, parting)
    four.grad = torch.randn_like(four)
    one.grad = four.grad.sum(dim=0, keepdim=True)
    single.step()
    grown.step()
    apart = four.detach() - one.detach()
    lengths = apart.flatten(1).norm(dim=1) / (0.04 * 8**0.5)  # of matrices whose 8 singular values are near 1
    np.testing.assert_allclose(lengths, parting, rtol=0.25, atol=1e-5)
    if parting:
        own = four.grad - four.grad.mean(dim=0, keepdim=True)
        assert float((apart * own).sum()) < 0.0  # downhill


def test_whitening__evens_out_the_directions_of_raw_pixels():
    torch.manual_seed(4)
    images = torch.rand(50, 1, 12, 12) * torch.tensor([0.5, 0.3, 0.4])[:, None, None] + 0.2 * torch.rand(50, 3, 12, 12)
    model = cifar10.Vgg(cifar10.Recipe(widths=(8, 8, 8)))
    model.whitened(images)
    with torch.no_grad():
        maps = model.whiten(images).transpose(0, 1).flatten(1)
    np.testing.assert_allclose(maps.mean(dim=1), 0.0, atol=0.03)  # inner pixels count twice or four times in patches
    covariance = (maps @ maps.T / maps.shape[1])[:12, :12].numpy()
    variances = np.diag(covariance)
    np.testing.assert_allclose(covariance, np.diag(variances), atol=0.03)
    assert np.all(variances < 1.0)
    weight = model.whiten.weight.detach()[:12].flatten(1).norm(dim=1)
    assert 1.5 < float(weight.max() / weight.min()) < 12.0
    assert variances.max() / variances.min() < 20.0
    np.testing.assert_allclose(maps[:12], -maps[12:], atol=1e-4)


def test_augmented__moves_flips_and_blanks():
    torch.manual_seed(5)
    images = torch.rand(64, 3, 32, 32)
    flip = torch.arange(64) % 2 == 0
    same = cifar10.augmented(images, flip, 0, 0)
    np.testing.assert_array_equal(same[1], images[1])
    np.testing.assert_array_equal(same[0], images[0].flip(-1))
    moved = cifar10.augmented(images, flip, 4, 0)
    centres = images[1::2, :, 12:20, 12:20]
    for one, centre in zip(moved[1::2], centres, strict=True):
        places = [
            (i, j) for i in range(8, 17) for j in range(8, 17) if torch.equal(one[:, i : i + 8, j : j + 8], centre)
        ]
        assert len(places) == 1
    blank = cifar10.augmented(images, flip & False, 0, 10)
    changed = (blank != images).any(dim=1).sum(dim=(1, 2))
    assert changed.max() == 100
    assert 25 <= changed.min() < 100  # some squares reach over the border


def test_grown__kernels_differ_and_the_rest_is_taken_over():
    torch.manual_seed(6)
    recipe = cifar10.Recipe(widths=(8, 8, 8))
    small = cifar10.Vgg(recipe)
    large = cifar10.Vgg(cifar10.Recipe(widths=(8, 8, 8), kernels=4))
    growth.grown(large, small.state_dict(), 0.4)
    for one, four in zip(small.blocks, large.blocks, strict=True):
        root = one.conv.weight.square().mean().sqrt()
        added = (four.conv.weight - one.conv.weight) / root
        assert 0.3 < float(added.std().detach()) < 0.5
        assert float((added[0] - added[1]).abs().min(dim=0).values.max().detach()) > 0.1
    np.testing.assert_array_equal(small.head.weight.detach(), large.head.weight.detach())
    with pytest.raises(SystemExit, match="has shape"):
        growth.grown(cifar10.Vgg(cifar10.Recipe(widths=(8, 8, 16))), small.state_dict(), 0.4)


def test_normal_like__is_normal_and_goes_with_the_seed():
    x = torch.empty(3, 8, 40, 50).contiguous(memory_format=torch.channels_last)
    torch.manual_seed(3)
    first, second = noise.normal_like(x), noise.normal_like(x)
    torch.manual_seed(3)
    again = noise.normal_like(x)
    assert first.stride() == x.stride()
    assert first.shape == x.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    values = np.concatenate([first.flatten().numpy(), second.flatten().numpy()])
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(first.flatten(), second.flatten())[0, 1]) < 0.02
    assert len(np.unique(values)) > 0.99 * len(values)


def test_routed__attention_parts_images_and_changes_nothing_yet():
    torch.manual_seed(7)
    small = cifar10.Vgg(cifar10.Recipe(widths=(8, 8, 16)))
    large = cifar10.Vgg(cifar10.Recipe(widths=(8, 8, 16), kernels=4))
    labels = torch.arange(400) % 10
    colours = torch.rand(10, 3, 1, 1)
    images = (colours[labels] + 0.3 * torch.randn(400, 3, 32, 32)).clamp(0, 1)
    for model in (small, large):
        model.whitened(images)
    growth.grown(large, small.state_dict(), 0.0)
    growth.routed(large, images, labels, entropy=0.5, temperature=2.0)
    for conv in layers.mixed_convs(large):
        conv.gate.temperature = 2.0
    small.eval(), large.eval()
    with torch.no_grad():
        np.testing.assert_allclose(large(images), small(images), atol=1e-4)
    for conv in layers.mixed_convs(large):
        of_mean, mean_of = layers.information(conv.shares)
        assert float(of_mean) > 0.999
        assert abs(float(mean_of) - 0.5) < 0.01
        by_class = torch.stack([conv.shares[labels == c].mean(0) for c in range(10)])
        explained = by_class.var(0, unbiased=False).sum() / conv.shares.var(0, unbiased=False).sum()
        assert float(explained) > 0.5  # chance: 9 / 399
    layers_before = [conv.weight.detach().clone() for conv in layers.mixed_convs(large)]
    large.train()
    optimisers = cifar10.optimisers_of(large, cifar10.Recipe(kernels=4))
    torch.nn.functional.cross_entropy(large(images), labels).backward()
    for each in optimisers:
        each.step()
    for conv, before in zip(layers.mixed_convs(large), layers_before, strict=True):
        moved = (conv.weight - before).detach()
        apart = (moved[0] - moved[1]).norm() / moved[0].norm()
        assert float(apart) > 0.1  # kernels that were alike no longer are


def test_dropped__images_get_equal_shares_at_random_while_training_only():
    torch.manual_seed(14)
    conv = layers.MixedConv(8, 8, 4, layers.Hardware())
    torch.nn.init.normal_(conv.gate.second.weight, std=20.0)
    x = torch.rand(1, 8, 6, 6).repeat(400, 1, 1, 1)  # images alike: their outputs differ by their shares alone
    conv.dropped = 0.25
    conv.train()
    conv.gate.eval()  # images that are alike have no deviation
    with torch.no_grad():
        trained, kept = conv(x), conv.eval()(x)
        equal = functional.conv2d(x, conv.weight.mean(0), padding=1)
    limit = 1e-4 * float(equal.abs().max())
    as_equal, as_kept = ((trained - each).abs().amax(dim=(1, 2, 3)) < limit for each in (equal, kept))
    assert not torch.any(as_equal & as_kept)
    assert torch.all(as_equal | as_kept)
    assert 0.15 < float(as_equal.float().mean()) < 0.35


def test_coded__weights_are_8_bit_codes_and_near():
    weight = np.random.default_rng(7).normal(size=(4, 3, 3, 3)).astype(np.float32)
    held = cifar10.coded(weight)
    scale = np.abs(held).max() / 127
    np.testing.assert_array_equal(held / scale, np.rint(held / scale))
    assert np.abs(held - weight).max() <= 0.5001 * scale


def test_paired__interval_and_p_by_hand():
    rng = np.random.default_rng(8)
    first = np.arange(1000) < 900
    second = first.copy()
    second[880:900], second[900:940] = False, True  # 20 lost, 40 gained
    held = attention.paired(first, second, rng)
    assert (held["only_second_right"], held["only_first_right"]) == (40, 20)
    assert held["difference"] == pytest.approx(0.02, abs=1e-12)
    half = 1.96 * np.sqrt(0.06 - 0.02**2) / np.sqrt(1000)
    np.testing.assert_allclose([held["low"], held["high"]], [0.02 - half, 0.02 + half], atol=1e-3)
    np.testing.assert_allclose(held["mcnemar_p"], 2 * stats.binom.cdf(20, 60, 0.5), rtol=1e-9)
    assert attention.paired(first, first, rng)["mcnemar_p"] == 1.0


# a run


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with 120 training and 20 test images whose colour says the class."""
    rng = np.random.default_rng(9)
    folder = tmp_path_factory.mktemp("cifar")

    def records(count):
        labels = np.resize(np.arange(10), count).astype(np.uint8)
        colour = (labels[:, None] * np.array([25, 11, 17]) % 256)[:, :, None]
        pixels = np.clip(colour + rng.integers(-20, 20, (count, 3, 1024)), 0, 255).reshape(count, -1)
        return np.concatenate([labels[:, None], pixels], axis=1).astype(np.uint8)

    for i, part in enumerate(np.split(records(120), 5), start=1):
        (folder / f"data_batch_{i}.bin").write_bytes(part.tobytes())
    (folder / "test_batch.bin").write_bytes(records(20).tobytes())
    return folder


TINY = cifar10.Recipe(widths=(8, 8, 8), batch=36, epochs=2, shift=1, cutout=4, schedule="fall")


def trained(folder, images, recipe, begin=None):
    run = cifar10.Run(folder, recipe, str(images), CPU)
    if begin is not None:
        run.begin(begin)
    return run


def test_run__stopped_and_resumed_is_the_same_run(images, tmp_path):
    whole = trained(tmp_path / "whole", images, TINY)
    while whole.at.epoch < 2:
        whole.epoch()
    parts = trained(tmp_path / "parts", images, TINY)
    pieces = 0
    while parts.at.epoch < 2:
        parts.stopped = True  # as by SIGTERM: every step ends with a checkpoint
        parts.epoch()
        parts = trained(tmp_path / "parts", images, TINY)
        parts.load()
        pieces += 1
    assert pieces == 8  # three steps and an end, twice
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(value, parts.model.state_dict()[name], err_msg=name)
    drop = lambda rows: [{key: x for key, x in row.items() if key != "seconds"} for row in rows]  # noqa: E731
    assert drop(whole.at.log) == drop(parts.at.log)
    assert (tmp_path / "parts" / "log.csv").read_text().count("\n") == 3


def test_run__grows_learns_and_is_stored_as_it_is(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cifar10, "LOGS", tmp_path / "logs")
    trunk = trained(tmp_path / "trunk", images, TINY)
    trunk.epoch()
    recipe = cifar10.changed(cifar10.RECIPES["dynamic"], ["widths=8,8,8", "batch=36", "epochs=3", "disturbed_epochs=1"])
    run = trained(tmp_path / "dynamic", images, recipe, tmp_path / "trunk")
    before = [conv.weight.detach().clone() for conv in layers.mixed_convs(run.model)]
    run.go()
    capsys.readouterr()
    assert len(before) == 6
    assert run.at.epoch == 3
    assert {row["kernels"] for row in run.at.log} == {1, 4}
    assert float(run.at.log[-1]["loss"]) < float(run.at.log[0]["loss"])
    assert all(0.0 <= float(run.at.log[-1][f"conv{n}_entropy"]) <= 1.0 for n in range(1, 7))
    options = ["export", str(tmp_path / "dynamic"), "dvgg-x", "--folder", str(tmp_path), "--data", str(images)]
    monkeypatch.setattr("sys.argv", ["cifar10", *options])
    cifar10.main()
    card = json.loads(capsys.readouterr().out)
    assert set(card["accuracy"]) == {"validation"}  # the test images only when asked for
    network = load_network(tmp_path / "dvgg-x.npz")
    assert [type(layer) for layer in network.layers].count(DynamicConv) == 6
    assert not any("norm" in layer.name for layer in fold(network).layers)
    x = run.check[0]
    run.model.eval()
    for block in run.model.blocks:  # the stored weights are in 8 bits
        block.conv.weight.data = torch.tensor(cifar10.coded(block.conv.weight.data.numpy()), dtype=torch.float32)
    with torch.no_grad():
        expected = run.model(x).numpy()
    # float32 there, float64 here
    np.testing.assert_allclose(
        network.forward(x.double().numpy()), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
    )
    stored = str(tmp_path / "dvgg-x.npz")
    monkeypatch.setattr("sys.argv", ["attention", stored, stored, "--data", str(images), "--out", str(tmp_path)])
    attention.main()
    held = json.loads(capsys.readouterr().out)
    assert held["networks"]["difference"] == 0.0
    assert set(held["attention"]["layers"]) == {f"conv{n}" for n in range(1, 7)}
    assert all(0.0 <= each["variance_explained_by_class"] <= 1.0 for each in held["attention"]["layers"].values())
    assert json.loads((tmp_path / "attention-dvgg-x.json").read_text()) == held
    assert (tmp_path / "attention-dvgg-x.png").stat().st_size > 10_000


def test_run__begins_with_a_network_of_the_zoo(images, tmp_path):
    run = trained(tmp_path / "more", images, replace(TINY, widths=(64, 256, 256)), "vgg-cifar10")
    x = run.check[0][:4]
    run.model.eval()
    with torch.no_grad():
        expected = load_model("vgg-cifar10").forward(x.double().numpy())
        np.testing.assert_allclose(run.model(x).numpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_run__falls_between_two_shares_of_its_rates(images, tmp_path):
    run = trained(tmp_path / "falls", images, replace(TINY, start=0.6, end=0.2, epochs=4))
    assert run.factor() == pytest.approx(0.6)
    run.at.epoch, run.at.step = 2, 0
    assert run.factor() == pytest.approx(0.4)
    run.at.epoch = 4
    assert run.factor() == pytest.approx(0.2)


def test_run__refuses_what_it_cannot_do(tmp_path, monkeypatch):
    for words, sentence in (
        (["train", str(tmp_path), "--resume"], "there is no .* to resume"),
        (["train", str(tmp_path), "--set", "colour=3"], "no 'colour'"),
        (["train", str(tmp_path), "--set", "images=most"], "images train or all"),
    ):
        monkeypatch.setattr("sys.argv", ["cifar10", *words])
        with pytest.raises(SystemExit, match=sentence):
            cifar10.main()


@pytest.mark.parametrize("noisy", [False, True])
def test_frozen__is_one_kernel_for_every_image(noisy):
    torch.manual_seed(4)
    exact = layers.Hardware(weight=0.0, stuck_on=0.0, stuck_off=0.0, output=0.0, attention=0.0)
    conv = layers.MixedConv(5, 6, 4, exact)
    conv.frozen, conv.noisy = "uniform", noisy
    x = torch.randn(3, 5, 9, 9)
    wanted = torch.nn.functional.conv2d(x, conv.weight.mean(0), padding=1)
    share = 64.0 / 255.0 if noisy else 0.25  # the nearest of the gate's levels
    torch.testing.assert_close(conv(x), 4.0 * share * wanted, rtol=1e-4, atol=1e-5)
