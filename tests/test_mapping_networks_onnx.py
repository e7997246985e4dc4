"""ONNX files without their exporter: graphs built node by node, against onnx's reference, on chips."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping import compile_network, import_onnx, load_hardware, load_model, run, write
from mapping.cli import command as cli
from mapping.networks import Add, DynamicConv, Linear, Scale
from mapping.networks.importers.comparison import AGREEMENT, difference

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

EXPORTS = sorted((Path(__file__).parent / "data" / "torch_exports").glob("*.onnx"))
ON_CHIP = 1e-4  # of the largest output: what an ideal chip may differ by


class Drawn:
    """Grows a graph; every method takes and gives the name of a tensor. Weights are drawn, batch norms have lived."""

    def __init__(self, shape, seed=5):
        self.shape, self.rng = shape, np.random.default_rng(seed)
        self.nodes, self.held, self.channels = [], [], {"x": shape[0]}

    def constant(self, values, kind=np.float32):
        name = f"c{len(self.held)}"
        self.held.append(numpy_helper.from_array(np.asarray(values, dtype=kind), name))
        return name

    def node(self, kind, *inputs, channels=None, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"{kind}_{len(self.nodes)}", **attributes))
        self.channels[name] = self.channels[inputs[0]] if channels is None else channels
        return name

    def conv(self, x, outputs, size=3, stride=1, groups=1, bias=False):
        inner = self.channels[x] // groups
        weight = self.rng.normal(size=(outputs, inner, size, size)) / np.sqrt(inner * size * size / 2)
        more = [self.constant(self.rng.normal(size=outputs))] if bias else []
        return self.node(
            "Conv", x, self.constant(weight), *more, channels=outputs, kernel_shape=[size, size], strides=[stride] * 2,
            pads=[size // 2] * 4, group=groups,
        )  # fmt: skip

    def norm(self, x):
        n, rng = self.channels[x], self.rng
        held = (rng.uniform(0.5, 1.5, n), rng.normal(0, 0.2, n), rng.normal(0, 0.2, n), rng.uniform(0.5, 2.0, n))
        return self.node("BatchNormalization", x, *map(self.constant, held))

    def step(self, x, outputs, activation="Relu", **geometry):
        """Convolve, normalise and rectify; "Clip" is ReLU6."""
        y = self.norm(self.conv(x, outputs, **geometry))
        bounds = [self.constant(0.0), self.constant(6.0)] if activation == "Clip" else []
        return self.node(activation, y, *bounds) if activation else y

    def pool(self, x, size=2, stride=2, pad=0):
        return self.node("MaxPool", x, kernel_shape=[size, size], strides=[stride, stride], pads=[pad] * 4)

    def linear(self, x, outputs):
        weight = self.rng.normal(size=(outputs, self.channels[x])) / np.sqrt(self.channels[x])
        bias = self.constant(self.rng.normal(size=outputs))
        return self.node("Gemm", x, self.constant(weight), bias, channels=outputs, transB=1)

    def classes(self, x, count=10):
        return self.linear(self.node("Flatten", self.node("GlobalAveragePool", x)), count)

    def squeeze(self, x):
        """Squeeze and excitation, as 1 × 1 convolutions of the pooled map."""
        hidden = self.node("Relu", self.conv(self.node("GlobalAveragePool", x), 3, size=1, bias=True))
        return self.node("Mul", x, self.node("Sigmoid", self.conv(hidden, self.channels[x], size=1, bias=True)))

    def mixed(self, x, outputs, kernels=3, temperature=3.0):
        """Dynamic convolution: shares of the pooled map mix constant kernels into one."""
        inputs, rng = self.channels[x], self.rng
        pooled = self.node("Flatten", self.node("GlobalAveragePool", x))
        scores = self.linear(self.node("Relu", self.linear(pooled, 4)), kernels)
        shares = self.node("Softmax", self.node("Div", scores, self.constant(temperature)), axis=1)
        bank = self.constant(rng.normal(size=(kernels, outputs * inputs * 9)) / np.sqrt(inputs * 9))
        kernel = self.node("MatMul", shares, bank)
        kernel = self.node("Reshape", kernel, self.constant([outputs, inputs, 3, 3], np.int64))
        return self.node("Conv", x, kernel, channels=outputs, kernel_shape=[3, 3], pads=[1] * 4)

    def save(self, last, path, opset=17):
        image = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, *self.shape])
        given = helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, [1, self.channels[last]])
        graph = helper.make_graph(self.nodes, "graph", [image], [given], self.held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
        return path


def vgg(to, plan):
    """VGG with batch norm; plan: channels, or 0 for a pool (Simonyan and Zisserman, table 1)."""
    x = "x"
    for channels in plan:
        x = to.step(x, channels, bias=True) if channels else to.pool(x)
    return to.classes(x)


VGG11 = (4, 0, 8, 0, 16, 16, 0, 24, 24, 0, 24, 24, 0)  # the published widths, 64 … 512, by 16 and 21
VGG16 = (4, 4, 0, 8, 8, 0, 16, 16, 16, 0, 24, 24, 24, 0, 24, 24, 24, 0)


def resnet(to, blocks, widths, large_stem=False, squeeze=False):
    """Residual network of basic blocks (He et al., 2016)."""
    x = to.step("x", widths[0], size=7 if large_stem else 3, stride=2 if large_stem else 1)
    x = to.pool(x, 3, 2, 1) if large_stem else x
    for stage, outputs in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = to.step(to.step(x, outputs, stride=stride), outputs, activation=None)
            y = to.squeeze(y) if squeeze else y
            if stride != 1 or to.channels[x] != outputs:
                x = to.step(x, outputs, activation=None, size=1, stride=stride)
            x = to.node("Relu", to.node("Add", y, x))
    return to.classes(x)


def mobilenet_v2(to, repeats=(1, 2, 3, 4, 3, 3, 1)):
    """MobileNetV2 with an expansion of 2 and narrow maps (Sandler et al., table 2)."""
    x = to.step("x", 4, "Clip")
    for stage, (outputs, count, stride) in enumerate(
        zip((2, 3, 4, 6, 8, 10, 12), repeats, (1, 1, 2, 2, 1, 2, 1), strict=True)
    ):
        for index in range(count):
            wide = to.channels[x] * (2 if stage else 1)
            y = to.step(x, wide, "Clip", size=1) if stage else x
            y = to.step(y, wide, "Clip", stride=stride if not index else 1, groups=wide)
            y = to.step(y, outputs, None, size=1)
            x = to.node("Add", x, y) if index else y
    return to.classes(to.step(x, 16, "Clip", size=1))


def dynamic(to):
    x = to.node("Relu", to.mixed("x", 5))
    return to.classes(to.node("Relu", to.mixed(to.pool(x), 6)))


NETWORKS = {
    "vgg11": (lambda to: vgg(to, VGG11), 32),
    "vgg16": (lambda to: vgg(to, VGG16), 32),
    "resnet18": (lambda to: resnet(to, 2, (3, 4, 6, 8), large_stem=True), 32),
    "resnet20": (lambda to: resnet(to, 3, (3, 4, 6)), 8),
    "mobilenet_v2": (mobilenet_v2, 16),
    "se_resnet": (lambda to: resnet(to, 1, (4, 6), squeeze=True), 8),
    "dynamic": (dynamic, 8),
}


def made(name, folder):
    """Write a network's file; returns its path and the shape of its images."""
    build, side = NETWORKS[name]
    to = Drawn((3, side, side))
    return to.save(build(to), folder / f"{name}.onnx"), to.shape


def pictures(shape, count=2, seed=11):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32).astype(np.float64)


def reference(path, images):
    """Run a file in onnx's own reference, image by image, whatever it calls them."""
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(str(path))
    (name,) = session.input_names
    return np.array([session.run(None, {name: image[None].astype(np.float32)})[0].ravel() for image in images])


@pytest.mark.parametrize("name", NETWORKS)
def test_file__agrees_with_its_reference_and_on_the_ideal_chip(name, tmp_path):
    path, shape = made(name, tmp_path)
    network = import_onnx(path)
    images = pictures(shape)
    assert difference(network, images, reference(path, images)) < AGREEMENT
    result = run(write(compile_network(network, load_hardware("ideal"), images)), images)
    assert np.abs(result.logits - network.forward(images)).max() < ON_CHIP * np.abs(result.exact).max()


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_file__of_pytorch_agrees_with_what_pytorch_computed(path):
    """Files of its exporter with stored outputs, where PyTorch is not installed; data/torch_exports/make.py."""
    network = import_onnx(path)
    wanted = np.loadtxt(path.with_suffix(".csv"), delimiter=",")
    images = pictures(network.input_shape)
    assert difference(network, images, wanted) < 1e-6  # both in float64, but the exporter folds batch norms in float32
    assert difference(network, images, reference(path, images)) < AGREEMENT


def test_exports__are_all_there():
    assert [path.stem for path in EXPORTS] == [
        "dynamic_traced", "mobilenet_v2", "resnet18", "resnet20", "se_resnet", "vgg11", "vgg16"
    ]  # fmt: skip


def test_squeeze__on_gates_of_columns_computes_the_same(tmp_path):
    """Both blocks scale behind a convolution and its batch norm, so both are on gates."""
    path, shape = made("se_resnet", tmp_path)
    network, images = import_onnx(path), pictures(shape)
    program = compile_network(network, load_hardware("ideal").with_values(["mapping.channel_attention=gates"]), images)
    assert program.digital_scales == {}
    assert sum(matrix.column_gates for matrix in program.all_matrices) == 2
    result = run(write(program), images)
    assert np.abs(result.logits - network.forward(images)).max() < ON_CHIP * np.abs(network.forward(images)).max()


def test_layers__are_what_the_nodes_say(tmp_path):
    network = import_onnx(made("dynamic", tmp_path)[0], check=True)
    first, _ = (layer for layer in network.layers if isinstance(layer, DynamicConv))
    assert first.weight.shape == (3, 5, 3, 3, 3)
    assert first.attention.temperature == pytest.approx(3.0, rel=1e-12)
    assert network.card["import_check"]["largest_difference"] < AGREEMENT
    squeezed = import_onnx(made("se_resnet", tmp_path)[0])
    kinds = [type(layer) for layer in squeezed.layers]
    assert (kinds.count(Scale), kinds.count(Add), kinds.count(Linear)) == (2, 2, 5)


def test_run__takes_a_file_and_a_folder_of_images(tmp_path, monkeypatch, capfd):
    path, shape = made("dynamic", tmp_path)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.integers(0, 255, (6, *shape)).astype(np.uint8))
    np.save(tmp_path / "labels.npy", rng.integers(0, 10, 6))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["crossgate", "run", str(path), "--data", ".", "--json"])
    cli.main()
    held = json.loads(capfd.readouterr().out)
    assert (held["model"], held["images"]) == ("dynamic", 6)
    assert [layer["kind"] for layer in held["layers"]] == ["dynamic conv", "dynamic conv", "linear"]
    assert all(layer["tiles"] > 0 for layer in held["layers"])
    assert (tmp_path / "crossgate-out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (("NonZero", {}), r"node 'NonZero_0' \(NonZero\): there is no layer for it; replace it by operators"),
        (("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 2]}), r"its window of means is spread"),
    ],
)
def test_file__names_the_first_node_that_cannot_be_imported(node, words, tmp_path):
    to = Drawn((3, 8, 8))
    path = to.save(to.classes(to.node(node[0], "x", **node[1])), tmp_path / "n.onnx", opset=19)
    with pytest.raises(ParameterError, match=words) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path} cannot be imported: ")


def test_file__of_an_opset_before_6_is_refused(tmp_path):
    to = Drawn((3, 8, 8))
    path = to.save(to.classes(to.step("x", 4)), tmp_path / "old.onnx", opset=12)
    assert import_onnx(path).card["imported_from"] == "ONNX opset 12"
    model = onnx.load(path)
    model.opset_import[0].version = 5
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ParameterError, match="it has opset 5, at least 6 is needed; export it again"):
        import_onnx(path)
