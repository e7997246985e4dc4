"""Damaged files: a thousand of each kind give a valid value or one clear sentence."""

import struct
import tomllib

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import CHIPS, load_hardware
from mapping.networks import (
    Attention,
    BatchNorm,
    Conv,
    DynamicConv,
    GlobalAveragePool,
    Linear,
    Network,
    Relu,
    load_network,
    save_network,
)

DAMAGED = 1000  # files of each kind


def network(rng):
    """A small network with attention, so that every part of the format is in its file."""
    gate = Attention(rng.normal(size=(2, 3)), None, rng.normal(size=(2, 2)), rng.normal(size=2))
    layers = (
        Conv("conv", ("input",), rng.normal(size=(3, 2, 3, 3))),
        BatchNorm("norm", ("conv",), *rng.uniform(0.5, 1.0, size=(4, 3))),
        Relu("relu", ("norm",)),
        DynamicConv(
            "mixed", ("relu",), rng.normal(size=(2, 3, 3, 1, 1)), None, (1, 1), (0, 0), (1, 1), 1, gate
        ),
        GlobalAveragePool("pool", ("mixed",)),
        Linear("fc", ("pool",), rng.normal(size=(2, 3)), rng.normal(size=2)),
    )  # fmt: skip
    return Network("small", (2, 6, 6), ("yes", "no"), layers, {"dataset": "none"})


def damaged(data, rng):
    """One file after another, each hurt in one of six ways."""
    for index in range(DAMAGED):
        held = bytearray(data)
        at = int(rng.integers(len(held)))
        match index % 6:
            case 0:  # some bytes changed
                for place in rng.integers(len(held), size=int(rng.integers(1, 20))):
                    held[place] = int(rng.integers(256))
            case 1:  # cut short
                del held[at:]
            case 2:  # a piece taken out
                del held[at : at + int(rng.integers(1, 200))]
            case 3:  # a piece doubled
                held[at:at] = held[at : at + int(rng.integers(1, 200))]
            case 4:  # a number made huge
                held[at : at + 8] = struct.pack("<q", int(rng.choice([-1, 2**31 - 1, 2**62, 2**40])))
            case _:  # noise in the middle
                held[at : at + 40] = rng.bytes(40)
        yield bytes(held)


def refused(path, data, rng, load, sound):
    """Load every damaged file; returns how many were refused. What loads all the same must be a sound value."""
    count = 0
    for content in damaged(data, rng):
        path.write_bytes(content)
        try:
            value = load(path)
        except ParameterError as error:
            sentence = str(error)
            assert str(path) in sentence
            assert "\n" not in sentence.replace(str(path), "")
            assert len(sentence) < 2000
            count += 1
        else:
            sound(value)
    return count


def test_network_files__damaged_a_thousand_times(rng, tmp_path):
    path = tmp_path / "network.npz"
    save_network(network(rng), path)
    exact = network(np.random.default_rng(20250425)).forward(np.ones((1, 2, 6, 6)))

    def sound(value):  # the damage hit what says nothing: checksums hold for all that counts
        np.testing.assert_array_equal(value.forward(np.ones((1, 2, 6, 6))), exact)

    assert refused(path, path.read_bytes(), rng, load_network, sound) > 0.9 * DAMAGED


def test_network_headers__damaged_a_thousand_times(rng, tmp_path):
    """The archive is sound, its checksums too, and the text in its header is not."""
    path = tmp_path / "network.npz"
    save_network(network(rng), path)
    with np.load(path) as held:
        members = dict(held)
    text = members.pop("header").tobytes()
    bad = tmp_path / "bad.npz"

    class Wrapped:
        """What `refused` writes to, so that damage goes into the header."""

        def write_bytes(self, content):
            np.savez(bad, header=np.frombuffer(content, dtype=np.uint8), **members)

        def __str__(self):
            return str(bad)

    count = refused(
        Wrapped(), text, rng, lambda _: load_network(bad), lambda value: value.forward(np.ones((1, *value.input_shape)))
    )
    assert count > 0.8 * DAMAGED


def test_chip_files__damaged_a_thousand_times(rng, tmp_path):
    path = tmp_path / "chip.toml"
    data = (CHIPS / "adaptive2d.toml").read_bytes()
    data += b"\n[tile]\nrows = 64\ncolumns = 32\n" if b"[tile]" not in data else b""
    tomllib.loads(data.decode())

    def sound(value):
        assert isinstance(value, Hardware)

    assert refused(path, data, rng, load_hardware, sound) > 0.3 * DAMAGED


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"[" * 100_000,
        b"\xff\xfe[tile]",
        b"tile = 3",
        b"[tile]\nrows = 99999999999999999999999",
        b"[tile]\nrows = 1e400",
        b"base = 'chip.toml'",
        b"[wires]\nr_row = nan",
        b"[adc]\nbits = 1979-05-27",
        b"\x00" * 1000,
        b"#" * (2**20 + 1),
    ],
)
def test_chip_files__of_other_kinds(content, tmp_path):
    path = tmp_path / "chip.toml"
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=r"chip\.toml"):
        load_hardware(path)


def onnx_bytes(rng):
    """A small sound ONNX model, made by hand."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    constants = {
        "w": rng.normal(size=(4, 2, 3, 3)), "b": rng.normal(size=4), "fc": rng.normal(size=(4, 3)),
        "low": np.array(0.0), "high": np.array(6.0),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="first", auto_pad="SAME_UPPER", kernel_shape=[3, 3]),
        helper.make_node("Clip", ["c", "low", "high"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ReduceMean", ["p"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["m", "fc"], ["s"], name="scores"),
        helper.make_node("Softmax", ["s"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 2, 6, 6])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_onnx_files__damaged_a_thousand_times(rng, tmp_path):
    pytest.importorskip("onnx")
    from mapping import import_onnx

    path = tmp_path / "model.onnx"
    data = onnx_bytes(rng).SerializeToString()
    path.write_bytes(data)
    assert import_onnx(path, check=True).card["import_check"]["largest_difference"] < 1e-6

    def sound(value):  # protobuf has no checksum: weights may be others, the graph must be whole
        assert sum(layer.weight.size for layer in value.layers if hasattr(layer, "weight")) < 10_000
        value.shapes()

    assert refused(path, data, rng, lambda at: import_onnx(at, check=False), sound) > 0.5 * DAMAGED


def _set_external(model):
    model.graph.initializer[0].data_location = 1
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def _strides():
    from onnx import helper

    return helper.make_attribute("strides", [0, 2])


def _padded(model):
    from onnx import helper

    node = model.graph.node[0]
    del node.attribute[:]
    node.attribute.extend([helper.make_attribute("pads", [2**20] * 4)])


ONNX = {
    "weights elsewhere": (_set_external, r"w of shape \(4, 2, 3, 3\) cannot be read: .*/etc/passwd"),
    "a shape that is too large": (
        lambda m: m.graph.initializer[0].dims.__setitem__(0, 2**40),
        r"w of shape \(1099511627776, .*cannot be read",
    ),
    "a shape below 0": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -4), "w has the shape"),
    "an old opset": (lambda m: m.opset_import[0].__setattr__("version", 5), "opset 5, at least 6 is needed"),
    "no operators": (lambda m: m.ClearField("opset_import"), "no ONNX model"),
    "an unknown operator": (
        lambda m: m.graph.node[1].__setattr__("op_type", "Det"),
        r"node 'Det_1' \(Det\): there is no layer for it; replace it",
    ),
    "another domain": (
        lambda m: m.graph.node[4].__setattr__("domain", "com.x"),
        r"node 'scores' .*operators of 'com\.x'",
    ),
    "no input": (
        lambda m: m.graph.node[0].input.__setitem__(0, "z"),
        r"node 'first' \(Conv\): its input 'z' is given by",
    ),
    "an output too many": (
        lambda m: m.graph.output.append(m.graph.output[0]),
        "1 inputs and 2 outputs.*name one of the outputs",
    ),
    "an open size": (
        lambda m: m.graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value"),
        r"give input_shape=\(channels",
    ),
    "integers": (
        lambda m: m.graph.initializer[0].__setattr__("data_type", 99),
        "w holds values of type 99, which ONNX does not name",
    ),
    "a window below 1": (
        lambda m: m.graph.node[0].attribute.extend([_strides()]),
        r"node 'first' \(Conv\): its window has a stride, dilation or size below 1",
    ),
    "a huge padding": (_padded, "values per image, more than"),
}


@pytest.mark.parametrize("damage", ONNX)
def test_onnx__says_in_one_sentence_what_is_wrong(damage, rng, tmp_path):
    model = onnx_bytes(rng)
    from mapping import import_onnx

    change, words = ONNX[damage]
    change(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ParameterError, match=words) as caught:
        import_onnx(path)
    assert str(caught.value).startswith(f"{path} cannot be imported: ")
    assert "\n" not in str(caught.value)


def test_onnx__gives_shapes_that_a_file_leaves_open(rng, tmp_path):
    model = onnx_bytes(rng)
    from mapping import import_onnx

    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].ClearField("dim_value")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert import_onnx(path, input_shape=(2, 8, 10), check=True).input_shape == (2, 8, 10)
    with pytest.raises(ParameterError, match="there is no ONNX file"):
        import_onnx(tmp_path / "none.onnx")


def test_networks__refuse_maps_that_no_memory_holds():
    with pytest.raises(ParameterError, match=r"conv gives \(1, 20000\d, 20000\d\) values per image, more than"):
        Network(
            "wide",
            (1, 4, 4),
            ("a",),
            (
                Conv("conv", ("input",), np.ones((1, 1, 1, 1)), padding=(100_000, 100_000)),
                GlobalAveragePool("p", ("conv",)),
            ),
        )
