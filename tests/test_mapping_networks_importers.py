"""Importers: PyTorch modules and ONNX graphs against their own runtimes, then on the ideal chip; refused networks."""

import argparse
import datetime as dt
import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping import compile_network, import_onnx, import_torch, load_hardware, load_model, load_state, run, write
from mapping.networks import BatchNorm, Conv, DynamicConv, Linear, Scale, load_network, save_network
from mapping.networks.importers.comparison import AGREEMENT, difference
from mapping.placement.encoding import gate_floor
from mapping.workflow.images import data_name

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

ON_CHIP = 1e-4  # of the largest output: what an ideal chip may differ by


# networks as people write them, in widths that cost little


def vgg(plan, width=1.0, classes=10):
    """VGG with batch norm for 32 × 32 images; plan: channels, or "M" for a pool (Simonyan and Zisserman, table 1)."""
    layers, inputs = [], 3
    for step in plan:
        if step == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            channels = max(2, int(step * width))
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            inputs = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(inputs, classes))


VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


class Squeeze(nn.Module):
    """Squeeze and excitation, with FC layers and the shapes asked for by hand."""

    def __init__(self, channels):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        hidden = max(2, channels // 4)
        self.fc = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x):
        b, c, _, _ = x.size()
        gates = self.fc(self.pool(x).view(b, c)).view(b, c, 1, 1)
        return x * gates.expand_as(x)


class SqueezeConv(nn.Module):
    """Squeeze and excitation of the mobile kind: 1 × 1 convolutions and a straight sigmoid."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(2, channels // 4)
        self.first, self.second = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        pooled = x.mean((2, 3), keepdim=True)
        return functional.hardsigmoid(self.second(functional.relu(self.first(pooled)))) * x


class Block(nn.Module):
    """Basic block of a residual network."""

    def __init__(self, inputs, outputs, stride, squeeze):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.squeeze = squeeze(outputs) if squeeze else None
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.squeeze is not None:
            out = self.squeeze(out)
        out += self.shortcut(x)
        return functional.relu(out)


class ResNet(nn.Module):
    """Residual network; large_stem: the 7 × 7 convolution and pool of the larger kind (He et al., table 1)."""

    def __init__(self, blocks, widths, *, large_stem=False, squeeze=None, classes=10):
        super().__init__()
        first = widths[0]
        stem = [nn.Conv2d(3, first, 7, 2, 3, bias=False) if large_stem else nn.Conv2d(3, first, 3, 1, 1, bias=False)]
        stem += [nn.BatchNorm2d(first), nn.ReLU()] + ([nn.MaxPool2d(3, 2, 1)] if large_stem else [])
        self.stem, inputs, stages = nn.Sequential(*stem), first, []
        for stage, outputs in enumerate(widths):
            for block in range(blocks):
                stages.append(Block(inputs, outputs, 2 if stage and not block else 1, squeeze))
                inputs = outputs
        self.stages, self.fc = nn.Sequential(*stages), nn.Linear(inputs, classes)

    def forward(self, x):
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(self.stages(self.stem(x)), 1), 1))


class Inverted(nn.Module):
    """Inverted residual: widen, depthwise, narrow (Sandler et al., table 1)."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        middle = inputs * expansion
        parts = [nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU6()] if expansion > 1 else []
        parts += [
            nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU6(),
        ]
        self.conv = nn.Sequential(*parts, nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


def mobilenet_v2(width=1.0, repeats=(1, 2, 3, 4, 3, 3, 1), classes=10, expansion=6):
    """MobileNetV2 with first strides of 1 for small images (Sandler et al., table 2)."""
    channels = [max(2, int(n * width)) for n in (32, 16, 24, 32, 64, 96, 160, 320, 1280)]
    layers = [nn.Conv2d(3, channels[0], 3, 1, 1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU6(inplace=True)]
    inputs = channels[0]
    for outputs, n, stride, wide in zip(
        channels[1:8], repeats, (1, 1, 2, 2, 1, 2, 1), (1, *(expansion,) * 6), strict=True
    ):
        for index in range(n):
            layers.append(Inverted(inputs, outputs, stride if not index else 1, wide))
            inputs = outputs
    layers += [nn.Conv2d(inputs, channels[8], 1, bias=False), nn.BatchNorm2d(channels[8]), nn.ReLU6()]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels[8], classes)
    )


class Gate(nn.Module):
    """Attention over kernels, with the names that the public dynamic convolution gives its parts."""

    def __init__(self, channels, kernels, temperature):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, 4, 1, bias=False), nn.Conv2d(4, kernels, 1)
        self.temperature = temperature

    def forward(self, x):
        scores = self.fc2(functional.relu(self.fc1(functional.adaptive_avg_pool2d(x, 1))))
        return functional.softmax(scores.view(x.size(0), -1) / self.temperature, 1)


class MixedHere(nn.Module):
    """Dynamic convolution that mixes its kernels into one grouped convolution for the whole batch."""

    def __init__(self, inputs, outputs, kernels=4, stride=1, groups=1, temperature=3.0, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernels, outputs, inputs // groups, 3, 3) / (inputs * 3) ** 0.5)
        self.bias = nn.Parameter(torch.randn(kernels, outputs)) if bias else None
        self.stride, self.padding, self.dilation, self.groups, self.kernel_size = stride, 1, 1, groups, 3
        self.attention = Gate(inputs, kernels, temperature)

    def forward(self, x):
        shares = self.attention(x)
        b, _, h, w = x.shape
        k, outputs, inner = self.weight.shape[:3]
        kernel = torch.mm(shares, self.weight.view(k, -1)).view(-1, inner, 3, 3)
        bias = None if self.bias is None else torch.mm(shares, self.bias).view(-1)
        y = functional.conv2d(x.reshape(1, -1, h, w), kernel, bias, self.stride, 1, 1, self.groups * b)
        return y.view(b, outputs, y.size(-2), y.size(-1))


class Dynamic_conv2d(MixedHere):  # noqa: N801  (the public class is called so)
    """The same, in a loop that cannot be traced: it is known by its name."""

    def forward(self, x):
        return torch.cat([super(Dynamic_conv2d, self).forward(one[None]) for one in x])


class CondConv2D(nn.Module):
    """Kernels mixed by a sigmoid of one FC layer, image by image, with a bias that is not mixed."""

    def __init__(self, inputs, outputs, kernels=3, stride=1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernels, outputs, inputs, 3, 3) / (inputs * 3) ** 0.5)
        self.bias = nn.Parameter(torch.randn(outputs))
        self.stride, self.padding, self.dilation, self.groups, self.kernel_size = (
            (stride,) * 2,
            (1, 1),
            (1, 1),
            1,
            (3, 3),
        )
        self._routing_fn = nn.Module()
        self._routing_fn.fc = nn.Linear(inputs, kernels)

    def forward(self, x):
        results = []
        for image in x:
            shares = torch.sigmoid(self._routing_fn.fc(image.mean((1, 2))))
            kernel = torch.sum(shares[:, None, None, None, None] * self.weight, 0)
            results.append(functional.conv2d(image[None], kernel, self.bias, self.stride, 1))
        return torch.cat(results)


class Heads(nn.Module):
    """Four attentions over one hidden layer, with the names that the public omni-dimensional one gives its parts."""

    def __init__(self, inputs, outputs, size, kernels, hidden=5):
        super().__init__()
        self.fc, self.bn = nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden)
        self.channel_fc, self.filter_fc = nn.Conv2d(hidden, inputs, 1), nn.Conv2d(hidden, outputs, 1)
        if size > 1:
            self.spatial_fc = nn.Conv2d(hidden, size * size, 1)
        if kernels > 1:
            self.kernel_fc = nn.Conv2d(hidden, kernels, 1)
        self.temperature = 1.5


class ODConv2d(nn.Module):
    """Omni-dimensional convolution, image by image as its paper's eq. 2 says it."""

    def __init__(self, inputs, outputs, size=3, kernels=4, stride=1, groups=1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernels, outputs, inputs // groups, size, size) / (inputs * size) ** 0.5)
        self.kernel_size, self.stride, self.padding, self.dilation, self.groups = size, stride, size // 2, 1, groups
        self.attention = Heads(inputs, outputs, size, kernels)

    def forward(self, x):
        a = self.attention
        hidden = functional.relu(a.bn(a.fc(functional.adaptive_avg_pool2d(x, 1))))
        results = []
        for image, h in zip(x, hidden, strict=True):
            heads = {
                kind: torch.sigmoid(getattr(a, f"{kind}_fc")(h[None])[0, :, 0, 0] / a.temperature)
                for kind in ("channel", "filter", "spatial")
                if hasattr(a, f"{kind}_fc")
            }
            kernel = self.weight[0]
            if hasattr(a, "kernel_fc"):
                shares = torch.softmax(a.kernel_fc(h[None])[0, :, 0, 0] / a.temperature, 0)
                kernel = torch.tensordot(shares, self.weight, 1)
            if "spatial" in heads:
                kernel = kernel * heads["spatial"].view(1, 1, self.kernel_size, self.kernel_size)
            y = functional.conv2d(
                (image * heads["channel"][:, None, None])[None], kernel, None, self.stride, self.padding, 1, self.groups
            )
            results.append(y * heads["filter"][None, :, None, None])
        return torch.cat(results)


class FourAttentions(nn.Module):
    """Omni-dimensional convolution of any name, all images of a batch at once by groups, as published code has it."""

    def __init__(self, inputs, outputs, size=3, kernels=4, stride=1, groups=1):
        super().__init__()
        self.kernels = nn.Parameter(
            torch.randn(kernels, outputs, inputs // groups, size, size) / (inputs * size) ** 0.5
        )
        self.stride, self.groups = stride, groups
        self.heads = Heads(inputs, outputs, size, kernels)

    def forward(self, x):
        heads, (b, _, height, width) = self.heads, x.size()
        _, outputs, inputs, size, _ = self.kernels.shape
        hidden = functional.relu(heads.bn(heads.fc(functional.adaptive_avg_pool2d(x, 1))))
        of_channels = torch.sigmoid(heads.channel_fc(hidden).view(b, -1, 1, 1) / heads.temperature)
        of_filters = torch.sigmoid(heads.filter_fc(hidden).view(b, -1, 1, 1) / heads.temperature)
        of_places = torch.sigmoid(heads.spatial_fc(hidden).view(b, 1, 1, 1, size, size) / heads.temperature)
        of_kernels = functional.softmax(heads.kernel_fc(hidden).view(b, -1, 1, 1, 1, 1) / heads.temperature, dim=1)
        mixed = (of_places * of_kernels * self.kernels.unsqueeze(0)).sum(1).view(-1, inputs, size, size)
        side_by_side = (x * of_channels).reshape(1, -1, height, width)
        y = functional.conv2d(side_by_side, mixed, None, self.stride, size // 2, 1, self.groups * b)
        return y.view(b, outputs, y.size(-2), y.size(-1)) * of_filters


def small(*layers, channels):
    """Layers on 3 channels, then pool and classes."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def lived(module, seed=3):
    """Give batch norms the statistics of a trained network: nothing is 0 or 1."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0.0, 0.2)
            part.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0.0, 0.2)
    return module


NETWORKS = {
    "vgg11": lambda: vgg(VGG11, 1 / 16),
    "vgg16": lambda: vgg(VGG16, 1 / 16),
    "resnet18": lambda: ResNet(2, (4, 6, 8, 12), large_stem=True),
    "resnet20": lambda: ResNet(3, (4, 6, 8)),
    "mobilenet_v2": lambda: mobilenet_v2(1 / 8, expansion=2),
    "se_resnet": lambda: ResNet(1, (4, 8), squeeze=Squeeze),
    "se_conv_resnet": lambda: ResNet(1, (4, 8), squeeze=SqueezeConv),
    "dynamic_traced": lambda: small(
        MixedHere(3, 6), nn.ReLU(), MixedHere(6, 8, stride=2, groups=2, bias=False), channels=8
    ),
    "four_attentions": lambda: small(
        FourAttentions(3, 6), nn.ReLU(), FourAttentions(6, 8, groups=2, stride=2), channels=8
    ),
}
BY_NAME = {
    "dynamic_named": lambda: small(Dynamic_conv2d(3, 6), nn.ReLU(), Dynamic_conv2d(6, 8, groups=2), channels=8),
    "cond_conv": lambda: small(CondConv2D(3, 6), nn.ReLU(), CondConv2D(6, 8, stride=2), channels=8),
    "od_conv": lambda: small(ODConv2d(3, 6), nn.ReLU(), ODConv2d(6, 8, groups=2, stride=2), channels=8),
    "od_conv_pointwise": lambda: small(
        ODConv2d(3, 6, size=1), nn.ReLU(), ODConv2d(6, 8, size=1, kernels=1), channels=8
    ),
    "od_conv_one_kernel": lambda: small(ODConv2d(3, 6, kernels=1), channels=6),
}


def made(name, seed=1):
    torch.manual_seed(seed)
    return lived({**NETWORKS, **BY_NAME}[name]())


def image_size(name):
    return (3, 32, 32) if name in ("vgg11", "vgg16", "resnet18", "mobilenet_v2") else (3, 9, 8)


def pictures(shape, count=3, seed=11):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32).astype(np.float64)


def torch_outputs(module, images):
    module.eval()
    with torch.no_grad():
        return module(torch.tensor(images, dtype=torch.float32)).double().numpy()


def exported(module, shape, path, opset=17, batch=1):
    """Write a module as an ONNX file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(
            module.eval(), (torch.zeros(batch, *shape),), str(path), dynamo=False, opset_version=opset, verbose=False
        )
    return path


# agreement


@pytest.mark.parametrize("name", [*NETWORKS, *BY_NAME])
def test_torch__agrees_with_its_own_runtime(name):
    """float32 on their side, float64 on ours: some 1e-7 a layer."""
    module, shape = made(name), image_size(name)
    network = import_torch(module, shape)
    images = pictures(shape)
    assert difference(network, images, torch_outputs(module, images)) < AGREEMENT
    assert network.card["import_check"]["largest_difference"] < AGREEMENT
    # and in their float64 the same numbers
    theirs = module.double()(torch.tensor(images)).detach().numpy()
    assert difference(network, images, theirs) < 1e-12


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx__agrees_with_its_own_runtime(name, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    module, shape = made(name), image_size(name)
    path = exported(module, shape, tmp_path / "network.onnx", opset=13 if name == "se_conv_resnet" else 17)
    network = import_onnx(path)
    images = pictures(shape)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (first,) = session.get_inputs()
    theirs = [session.run(None, {first.name: image[None].astype(np.float32)})[0][0] for image in images]
    assert difference(network, images, np.array(theirs)) < AGREEMENT
    assert difference(network, images, torch_outputs(module, images)) < AGREEMENT


def test_onnx__four_attentions_of_a_fixed_batch_are_refused_by_name(tmp_path):
    pytest.importorskip("onnxruntime")
    path = exported(made("four_attentions"), (3, 9, 8), tmp_path / "network.onnx", batch=4)
    with pytest.raises(ParameterError, match=r"/0/Conv: .*can be exported with a batch of one"):
        import_onnx(path)


@pytest.mark.parametrize("name", ["vgg11", "resnet20", "mobilenet_v2", "se_resnet", "dynamic_traced", "od_conv"])
def test_imported__computes_the_same_on_the_ideal_chip(name):
    shape = image_size(name)
    network = import_torch(made(name), shape, check=False)
    images = pictures(shape, 2)
    result = run(write(compile_network(network, load_hardware("ideal"), images)), images)
    assert np.abs(result.logits - network.forward(images)).max() < ON_CHIP * np.abs(result.exact).max()


@pytest.mark.parametrize(("name", "gated"), [("se_resnet", 2), ("se_conv_resnet", 2), ("od_conv", 3)])
def test_imported__channel_attention_on_gates_computes_the_same(name, gated):
    """Filters of both convolutions, the second in two groups; what scales inputs stays digital and says why."""
    shape = image_size(name)
    network, images = import_torch(made(name), shape, check=False), pictures(shape, 2)
    program = compile_network(network, load_hardware("ideal").with_values(["mapping.channel_attention=gates"]), images)
    assert sum(matrix.column_gates for matrix in program.all_matrices) == gated
    assert all("it scales " in why for why in program.digital_scales.values())
    result = run(write(program), images)
    assert np.abs(result.logits - network.forward(images)).max() < ON_CHIP * np.abs(network.forward(images)).max()


def test_imported__sigmoid_attention_needs_gates_that_close():
    """Shares that do not sum to 1 feel the gate's floor; without one the ideal chip is exact."""
    from dataclasses import replace

    network = import_torch(made("cond_conv"), (3, 9, 8))
    ideal = load_hardware("ideal")
    closing = replace(ideal, cell=replace(ideal.cell, gain_min=0.0, v_gate_min=-30.0))
    assert gate_floor(closing.cell) < 1e-8
    images = pictures((3, 9, 8), 2)
    result = run(write(compile_network(network, closing, images)), images)
    assert np.abs(result.logits - network.forward(images)).max() < ON_CHIP * np.abs(result.exact).max()


def test_full_width__shapes_come_through():
    """VGG-16 of 15 million weights, ResNet-20, ResNet-18 and MobileNetV2 in their published widths."""
    counts = {}
    for name, module in {
        "vgg11": vgg(VGG11), "vgg16": vgg(VGG16), "resnet20": ResNet(3, (16, 32, 64)),
        "resnet18": ResNet(2, (64, 128, 256, 512), large_stem=True, classes=1000),
        "mobilenet_v2": mobilenet_v2(classes=1000),
    }.items():  # fmt: skip
        network = import_torch(module, (3, 32, 32), check=False)
        counts[name] = sum(
            layer.weight.size + (0 if layer.bias is None else layer.bias.size)
            for layer in network.layers
            if isinstance(layer, (Conv, Linear))
        ) + sum(2 * layer.gamma.size for layer in network.layers if isinstance(layer, BatchNorm))
    # ResNet-18 and MobileNetV2 of 1000 classes: 11,689,512 and 3,504,872, the counts that torchvision lists; ResNet-20:
    # 0.27 million (He et al., table 6)
    assert counts == {
        "vgg11": 9_231_114, "vgg16": 14_728_266, "resnet20": 272_474, "resnet18": 11_689_512, "mobilenet_v2": 3_504_872,
    }  # fmt: skip


def test_structure__is_what_the_module_says():
    network = import_torch(
        made("dynamic_traced"), (3, 9, 8), name="two", classes=list("abcdefghij"), card={"dataset": "x"}
    )
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["DynamicConv", "Relu", "DynamicConv", "GlobalAveragePool", "Linear"]
    first, second = (layer for layer in network.layers if isinstance(layer, DynamicConv))
    assert (first.attention.temperature, second.groups, second.stride) == (pytest.approx(3.0, rel=1e-15), 2, (2, 2))
    assert (network.name, network.classes[1], network.card["dataset"]) == ("two", "b", "x")
    squeezed = import_torch(made("se_resnet"), (3, 9, 8))
    assert sum(isinstance(layer, Scale) for layer in squeezed.layers) == 2
    assert sum(isinstance(layer, Linear) for layer in squeezed.layers) == 5


def test_import__leaves_the_module_as_it_was():
    module = made("resnet20")
    module.train()
    module.stem.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    import_torch(module, (3, 9, 8))
    assert module.training
    assert not module.stem[1].training
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_file__of_an_imported_network_comes_back(tmp_path):
    network = import_torch(made("od_conv"), (3, 9, 8))
    save_network(network, tmp_path / "od.npz")
    images = pictures((3, 9, 8))
    np.testing.assert_array_equal(load_network(tmp_path / "od.npz").forward(images), network.forward(images))


def test_known__lets_users_say_what_a_module_does():
    class Doubler(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > -1e9 else x  # decides by values, so it cannot be exported

    module = small(nn.Conv2d(3, 4, 3), Doubler(), channels=4)
    with pytest.raises(ParameterError, match=r"cannot be exported by torch\.export: .*through `known`"):
        import_torch(module, (3, 8, 8))
    doubled = {"Doubler": lambda to, name, part, x: to.affine(name, x, np.full(1, 2.0), np.zeros(1))}
    assert import_torch(module, (3, 8, 8), known=doubled).card["import_check"]["largest_difference"] < AGREEMENT
    wrong = {"Doubler": lambda to, name, part, x: to.affine(name, x, np.full(1, 3.0), np.zeros(1))}
    with pytest.raises(ParameterError, match=r"differs from what torch gives by .*check=False imports it all the same"):
        import_torch(module, (3, 8, 8), known=wrong)


# what comes in, and what cannot


class Wild(nn.Module):
    """One expression in a module of its own."""

    def __init__(self, function):
        super().__init__()
        self.function, self.conv = function, nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.function(self.conv(x), x)


LAYERS = [
    nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1), nn.GroupNorm(3, 3), nn.LayerNorm((9, 8)),
    nn.InstanceNorm2d(3, affine=True), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    nn.Conv2d(3, 4, 2, padding="same"), nn.MaxPool2d(2, dilation=2),
    nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.AdaptiveAvgPool2d((2, 3)),
    nn.AdaptiveMaxPool2d((2, 3)), nn.Linear(8, 5), nn.Softmax(dim=2), nn.LogSoftmax(dim=1), nn.LeakyReLU(0.1),
    nn.PReLU(3), nn.ELU(), nn.SELU(), nn.CELU(0.5), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Hardtanh(),
    nn.Softplus(2.0), nn.Mish(), nn.Softsign(), nn.LogSigmoid(), nn.LocalResponseNorm(2), nn.ZeroPad2d((1, 2, 0, 1)),
    nn.Upsample(scale_factor=2), nn.Upsample(size=(5, 11), mode="bilinear"), nn.PixelUnshuffle(1),
    nn.Threshold(0.1, 0.5),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: repr(layer)[:48])
def test_torch__layers_between_matrices_come_in(layer):
    torch.manual_seed(2)
    if isinstance(layer, nn.Threshold):
        with pytest.raises(ParameterError, match=r"^1: it decides by the image's own values"):
            import_torch(nn.Sequential(nn.Conv2d(3, 3, 1), layer), (3, 9, 8))
        return
    module = nn.Sequential(nn.Conv2d(3, 3, 1), layer)
    assert import_torch(module, (3, 9, 8)).card["import_check"]["largest_difference"] < AGREEMENT


@pytest.mark.parametrize("cell", [nn.RNN, nn.LSTM, nn.GRU])
def test_torch__recurrent_layers_come_in(cell):
    """Rows of the image are steps in time; two layers, both directions, the last state and the outputs."""

    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.fc = cell(24, 5, 2, batch_first=True, bidirectional=True), nn.Linear(10, 3)

        def forward(self, x):
            out, _ = self.cell(x.permute(0, 2, 1, 3).flatten(2))
            return self.fc(out[:, -1] + out.mean(1))

    torch.manual_seed(3)
    network = import_torch(Read(), (3, 9, 8))
    assert sum(type(layer).__name__ == "Recurrent" for layer in network.layers) == 4
    assert network.card["import_check"]["largest_difference"] < AGREEMENT


def _put(y, x):
    z, w = torch.zeros(1, 5, 9, 8), y.clone()
    z[:, 1:4] = x
    w[:, [0, 2], 3] = x[:, [1, 0], 4]
    return torch.cat([z, w], 1)


def _in_place(y, x):
    z = y + x
    y[:, 1:] += 1.0
    return torch.cat([y, z.mul_(2.0)], 1)


FUNCTIONS = {
    "concatenation": lambda y, x: torch.cat([y, x], 1),
    "product of maps": lambda y, x: y * x,
    "a constant for each pixel": lambda y, _: y + torch.linspace(0, 1, 216).view(3, 9, 8),
    "rows of another view": lambda y, _: y.view(-1, 27, 8).mean(2),
    "mean over channels": lambda y, _: y.mean(1),
    "largest over a row": lambda y, _: y.amax(3),
    "clamp": lambda y, _: y.clamp(0, 1),
    "a slice at every other pixel, padded": lambda y, x: functional.pad(y[:, :, ::2, ::2], (0, 1, 0, 0, 1, 1)),
    "chunks and stack": lambda y, x: torch.stack([y.chunk(3, 1)[2], x[:, :1]], 1).sum(1),
    "shuffle": lambda y, _: functional.channel_shuffle(torch.cat([y, y * 2], 1), 3),
    "hard swish in three spellings": lambda y, x: (
        y * functional.relu6(y + 3) / 6 + x * (x + 3).clamp(0, 6).div(6) + functional.hardswish(y)
    ),
    "gelu spelt out": lambda y, _: 0.5 * y * (1 + torch.erf(y / 2**0.5)),
    "a clip that hard swish is not": lambda y, _: y * functional.relu6(y + 3) / 5,
    "attention of rows": lambda y, x: torch.softmax(y.flatten(2) @ x.flatten(2).transpose(1, 2), -1) @ y.flatten(2),
    "einsum": lambda y, x: torch.einsum("bchw,bdhw->bcd", y, x),
    "in place": _in_place,
    "standardised": lambda y, _: (y - y.mean((2, 3), keepdim=True)) / (y.std((2, 3), keepdim=True) + 0.1),
    "a gate along the width": lambda y, _: y * torch.sigmoid(y.mean((1, 2)))[:, None, None],
    "one over": lambda y, _: 1 / (2 + y * y),
    "an index": lambda y, _: y[:, [2, 0, 0], 1:],
    "planes of a volume": lambda y, _: functional.conv3d(
        y.permute(0, 2, 3, 1).unsqueeze(1), torch.linspace(0, 1, 18).view(2, 1, 3, 3, 1), padding=(1, 1, 0)
    ),
    "flip and roll": lambda y, _: torch.roll(y.flip(3), 2, 2).roll(5),
    "filled like a map": lambda y, x: torch.cat([torch.zeros_like(y), x * torch.full_like(y, 2.0)], 1),
    "windows as columns": lambda y, _: functional.unfold(y, 3, padding=1) + y.unfold(2, 2, 8).sum(),
    "a diagonal and values one by one": lambda y, _: torch.diagonal(y, 1, 2, 3) + y[:, :, [0, 3, 2], [1, 1, 5]].sum(),
    "values gathered": lambda y, _: torch.gather(y, 2, torch.tensor([2, 0, 2]).view(1, 1, 3, 1).expand(1, 2, 3, 4)),
    "values put at places": _put,
    "over the largest of all": lambda y, _: y / y.abs().max(),
    "a view of one image": lambda y, _: y.view(1, 3, 3, 3, 8).max(2)[0],
    "variance, mean and product": lambda y, _: sum(torch.var_mean(y, (2, 3))) + y[:, :, 0].sigmoid().prod(2),
    "other logarithms": lambda y, _: (
        torch.log2(y.abs() + 1) + torch.log10(y.abs() + 1) + torch.exp2(y) + torch.tan(y / 9)
    ),
    "hyperbolic": lambda y, _: torch.sinh(y) + torch.cosh(y) + functional.rrelu(y),
    "attention that looks back": lambda y, x: functional.scaled_dot_product_attention(y, x, y + x, is_causal=True),
}


@pytest.mark.parametrize("what", FUNCTIONS)
def test_torch__functions_come_in(what):
    torch.manual_seed(4)
    assert import_torch(Wild(FUNCTIONS[what]), (3, 9, 8)).card["import_check"]["largest_difference"] < AGREEMENT


def test_difference__by_rounding_alone_is_judged_in_double_precision():
    """The module cancels numbers of 3000 in single precision; we fold them in double precision."""
    network = import_torch(Wild(lambda y, _: torch.exp(torch.log(torch.exp(y) + 3e3) * 1.0) - 3e3), (3, 9, 8))
    assert network.card["import_check"]["largest_difference"] < AGREEMENT


def test_activations__spelt_out_are_one_layer():
    """Recognised by their values: no layer is left of the additions, clips and products."""
    for spelling, kind in (
        (lambda y, _: y * functional.relu6(y + 3) / 6, "hard-swish"),
        (lambda y, _: (y / 6 + 0.5).clamp(0, 1), "hard-sigmoid"),
        (lambda y, _: y / (1 + torch.exp(-y)), "silu"),
        (lambda y, _: 0.5 * y * (1 + torch.erf(y * 0.7071067811865476)), "gelu"),
        (lambda y, _: y * torch.tanh(torch.log(1 + torch.exp(y))), "mish"),
    ):
        network = import_torch(Wild(spelling), (3, 9, 8))
        assert [getattr(layer, "kind", "") for layer in network.layers[1:-1]] == [kind]
    # bounds beyond the grid of a first look are seen
    wide = import_torch(Wild(lambda y, _: (y * 1000).clamp(0, 300)), (3, 9, 8))
    assert wide.card["import_check"]["largest_difference"] < AGREEMENT
    assert not any(type(layer).__name__ == "Relu" for layer in wide.layers)


class Mixed(nn.Module):
    """Four kernels mixed by shares, in a spelling of its own."""

    def __init__(self, spelling, kernels=4):
        super().__init__()
        self.spelling, self.fc = spelling, nn.Linear(3, kernels)
        self.weight, self.bias = nn.Parameter(torch.randn(kernels, 6, 3, 3, 3)), nn.Parameter(torch.randn(kernels, 6))
        self.convs = nn.ModuleList(nn.Conv2d(3, 6, 3, padding=1) for _ in range(kernels))

    def forward(self, x):
        return self.spelling(self, x, self.shares(x))

    def shares(self, x):
        return torch.softmax(self.fc(x.mean((2, 3))) / 3.0, 1)


def _grouped(m, x, shares):
    b, c, h, w = x.shape
    kernel = torch.matmul(shares, m.weight.view(4, -1)).view(b * 6, c, 3, 3)
    bias = torch.matmul(shares, m.bias).view(b * 6)
    out = functional.conv2d(x.reshape(1, b * c, h, w), kernel, bias, padding=1, groups=b)
    return out.permute(1, 0, 2, 3).view(b, 6, h, w)


SPELLINGS = {
    "grouped and permuted": _grouped,
    "einsum": lambda m, x, s: functional.conv2d(x, torch.einsum("bk,koihw->boihw", s, m.weight)[0], padding=1),
    "weights times kernels, summed": lambda m, x, s: functional.conv2d(
        x, (s.view(-1, 1, 1, 1, 1) * m.weight).sum(0), s[0] @ m.bias, padding=1
    ),
    "a weighted sum of convolutions": lambda m, x, s: sum(
        s[:, i].view(-1, 1, 1, 1) * conv(x) for i, conv in enumerate(m.convs)
    ),
    "convolutions stacked, weighted and summed": lambda m, x, s: (
        torch.stack([conv(x) for conv in m.convs], 1) * s.view(-1, 4, 1, 1, 1)
    ).sum(1),
    "one convolution with all kernels": lambda m, x, s: torch.einsum(
        "bkchw,bk->bchw", functional.conv2d(x, m.weight.flatten(0, 1), padding=1).view(-1, 4, 6, 9, 8), s
    ),
    "an attention for every term": lambda m, x, _: functional.conv2d(
        x, sum(m.shares(x)[:, i].view(1, 1, 1, 1) * m.weight[i] for i in range(4)), (m.shares(x) @ m.bias)[0], padding=1
    ),
    "a product of matrices": lambda m, x, s: (torch.einsum("bk,koi->boi", s, m.weight[..., 1, 1]) @ x.flatten(2)).view(
        -1, 6, 9, 8
    ),
    "a product of turned matrices": lambda m, x, s: functional.linear(
        x.flatten(2).transpose(1, 2), torch.einsum("bk,koi->boi", s, m.weight[..., 0, 0])[0]
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_dynamic_convolution__is_recognised_in_every_spelling(spelling):
    torch.manual_seed(5)
    # a batch of one only: the spellings that read s[0] say so themselves
    module = Mixed(SPELLINGS[spelling])
    network = import_torch(module, (3, 9, 8), check=False)
    image = pictures((3, 9, 8), 1)
    assert difference(network, image, torch_outputs(module, image).reshape(1, -1)) < AGREEMENT
    (layer,) = (layer for layer in network.layers if isinstance(layer, DynamicConv))
    assert layer.kernels == 4
    assert not any(isinstance(each, Linear) for each in network.layers)  # its attention is inside


def test_channel_attention__is_no_dynamic_convolution():
    """Squeeze and excitation weights single channels of one convolution: its kernels stay one."""

    def scaled(m, x, _):
        y = m.convs[0](x)
        return y * torch.sigmoid(m.fc(x.mean((2, 3))).view(-1, 6, 1, 1))

    network = import_torch(Mixed(scaled, kernels=6), (3, 9, 8))
    assert not any(isinstance(layer, DynamicConv) for layer in network.layers)
    assert sum(isinstance(layer, Conv) for layer in network.layers) == 1


def test_dynamic_convolution__of_unknown_attention_is_all_kernels_weighted():
    """Shares from a tanh: no attention of ours, so the maps of all kernels are weighted and summed."""
    torch.manual_seed(6)

    class Tanh(Mixed):
        def forward(self, x):
            return _grouped(self, x, torch.tanh(self.fc(x.amax((2, 3)))))

    network = import_torch(Tanh(None), (3, 9, 8))
    assert network.card["import_check"]["largest_difference"] < AGREEMENT
    assert any(isinstance(layer, Conv) and layer.weight.shape[0] == 24 for layer in network.layers)


def test_wrapped_modules__come_in_as_what_is_inside():
    module = made("resnet20")
    plain, wrapped = (import_torch(each, (3, 9, 8), check=False) for each in (module, nn.DataParallel(module)))
    images = pictures((3, 9, 8))
    np.testing.assert_array_equal(plain.forward(images), wrapped.forward(images))


def test_archive__of_torch_export_comes_in(tmp_path):
    module = made("se_resnet").eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, 9, 8),)), tmp_path / "net.pt2")
    network = import_torch(tmp_path / "net.pt2", (3, 9, 8))
    assert network.name == "net"
    images = pictures((3, 9, 8))
    assert difference(network, images, torch_outputs(module, images)) < AGREEMENT
    (tmp_path / "broken.pt2").write_bytes(b"PK nothing")
    with pytest.raises(ParameterError, match=r"broken\.pt2 is no sound archive"):
        import_torch(tmp_path / "broken.pt2", (3, 9, 8))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision__is_compared_at_its_own(dtype):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(336, 5)).to(getattr(torch, dtype))
    assert import_torch(module, (3, 9, 8)).card["import_check"]["largest_difference"] > 1e-6  # theirs rounds, ours not


def test_difference__names_the_first_layer_where_it_appears():
    module = small(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3), channels=4)
    wrong = {"Tanh": lambda to, name, part, x: to.function(name, x, "sigmoid")}
    with pytest.raises(ParameterError, match="it begins at layer 1;"):
        import_torch(module, (3, 8, 8), known=wrong)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y, _: torch.fft.fft(y).real, r"\(_fft_r2c\) cannot be imported: there is no layer for aten\._fft_r2c"),
        (lambda y, x: functional.conv2d(x, y[:, :, :3, :3] * x[:, :, :3, :3]), r"kernel is computed from the image"),
        (lambda y, _: torch.ones(3), "must give back one tensor that depends on the images"),
        (lambda y, _: (y, y + 1), "must give back one tensor"),
        (lambda y, _: y if y.sum() > 0 else -y, "cannot be exported by torch.export: .*without decisions on values"),
        (lambda y, _: functional.softplus(y, 2.0, 0.5), r"\(softplus\) cannot be imported: .*straight line at 0\.5"),
        (lambda y, _: y.long(), "makes torch.int64 of values that depend on the image"),
        (lambda y, _: y.sort(3)[0], r"\(sort\) cannot be imported: there is no layer"),
    ],
)
def test_torch__names_the_first_node_that_cannot_be_imported(function, words):
    with pytest.raises(ParameterError, match=words) as caught:
        import_torch(Wild(function), (3, 9, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Conv2d(4, 4, 3)], r"itself does not run on an image of \(3, 9, 8\): .*to have 4 channels, but got 3"),
        ([nn.Linear(9, 8)], r"itself does not run on an image of \(3, 9, 8\)"),
        ([nn.BatchNorm2d(3, track_running_stats=False)], r"^0 \(BatchNorm2d\).*track_running_stats=True"),
        ([nn.Identity()], "gives back its image"),
    ],
)
def test_torch__says_what_is_wrong_with_a_module(layers, words):
    with pytest.raises(ParameterError, match=words) as caught:
        import_torch(nn.Sequential(*layers), (3, 9, 8))
    assert "\n" not in str(caught.value)


def test_arithmetic__with_constants_is_a_batch_norm():
    scale = torch.tensor([0.5, 2.0, 3.0]).view(1, 3, 1, 1)
    module = small(Wild(lambda y, x: (1.0 - (x - 0.3) / scale) * 2 + y - x), channels=3)
    assert import_torch(module, (3, 9, 8)).card["import_check"]["largest_difference"] < AGREEMENT


def test_torch__takes_modules_and_archives_only():
    with pytest.raises(ParameterError, match=r"takes a torch\.nn\.Module or the path of a \.pt2, got type"):
        import_torch(nn.Conv2d, (3, 8, 8))
    with pytest.raises(ParameterError, match="there is no archive module"):
        import_torch("module", (3, 8, 8))
    with pytest.raises(ParameterError, match=r"input_shape must be \(channels, height, width\)"):
        import_torch(nn.ReLU(), (3, 8))


@pytest.mark.parametrize(
    ("extra", "call"), [("torch", "import_torch(1, (1, 2, 2))"), ("onnx", "import_onnx('x.onnx')")]
)
def test_extras__that_are_missing_are_asked_for(extra, call):
    code = (
        f"import sys; sys.modules[{extra!r}] = None\nfrom mapping import import_onnx, import_torch\n"
        f"try:\n    {call}\nexcept ValueError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"this needs {extra}: pip install 'crossgate[{extra}]'"


# checkpoints


class Bomb:
    """Loading it as a pickle would end the test run."""

    def __reduce__(self):
        return (SystemExit, (99,))


def test_load_state__reads_both_kinds_of_checkpoints(tmp_path):
    safe = pytest.importorskip("safetensors.torch")
    source = made("resnet20")
    torch.save(source.state_dict(), tmp_path / "plain.pt")
    torch.save({"state_dict": source.state_dict(), "epoch": 3}, tmp_path / "wrapped.pth")
    safe.save_file(source.state_dict(), tmp_path / "safe.safetensors")
    images = pictures((3, 9, 8))
    for name in ("plain.pt", "wrapped.pth", "safe.safetensors"):
        module = made("resnet20", seed=2)
        assert not np.array_equal(torch_outputs(module, images), torch_outputs(source, images))
        load_state(module, tmp_path / name)
        np.testing.assert_array_equal(torch_outputs(module, images), torch_outputs(source, images))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"model": s, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.9), "history": np.ones(3)},
        lambda s: {
            "epoch": 3,
            "state_dict_ema": s,
            "when": dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
            "where": Path("runs"),
        },
        lambda s: {"params": {f"module.backbone.{name}": value for name, value in s.items()}},
        lambda s: {**s, "total_ops": torch.zeros(1), "conv.total_params": torch.zeros(1)},
    ],
    ids=["arguments and numbers", "averaged, with date and path", "two wrappers", "a profiler's counters"],
)
def test_load_state__reads_what_training_scripts_write(wrap, tmp_path):
    source, module = (nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)) for _ in range(2))
    torch.save(wrap(source.state_dict()), tmp_path / "net.pth")
    load_state(module, tmp_path / "net.pth")
    assert all(torch.equal(module.state_dict()[name], value) for name, value in source.state_dict().items())


def test_load_state__refuses_pickles_damage_and_other_networks(tmp_path):
    pytest.importorskip("safetensors")
    module = made("resnet20")
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(made("vgg11").state_dict(), tmp_path / "other.pt")
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    (tmp_path / "cut.pt").write_bytes(buffer.getvalue()[:5000])
    (tmp_path / "noise.safetensors").write_bytes(b"\xff" * 100)
    for name in ("bomb.pt", "list.pt", "other.pt", "cut.pt", "noise.safetensors"):
        with pytest.raises(ParameterError, match=rf"{name} is not a sound checkpoint of ResNet: ") as caught:
            load_state(module, tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ParameterError, match="there is no checkpoint"):
        load_state(module, tmp_path / "none.pt")


# as a model of the command


def test_load_model__takes_onnx_files(tmp_path):
    pytest.importorskip("onnx")
    module = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    path = exported(module, (1, 8, 8), tmp_path / "digits.onnx")
    network = load_model(str(path))
    assert (network.name, data_name(network), network.input_shape) == ("digits", "digits", (1, 8, 8))
    assert difference(network, pictures((1, 8, 8)), torch_outputs(module, pictures((1, 8, 8)))) < AGREEMENT
