"""ONNX files as people have them: old opsets, weights beside them, fixed batches, other layouts, quantised, functions.

Each graph is built node by node and compared with onnxruntime, whose outputs the import must give.
"""

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping import import_onnx
from mapping.networks import BatchNorm, Conv, DynamicConv

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
node = helper.make_node


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


HELD = {"w": normal(5, 3, 3, 3), "b": normal(5, seed=1)}


def stored(path, nodes, held, shape, *, opset=17, kind=onnx.TensorProto.FLOAT, outputs=("y",), functions=()):
    """Write a graph from x to y; constants by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(each, kind, None) for each in outputs],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    opsets = [helper.make_opsetid("", opset), *[helper.make_opsetid("ours", 1) for _ in functions[:1]]]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions)), path)
    return path


def agrees(path, image, **options):
    """Import a file, which compares it, and compare it once more with what onnxruntime gives for one image."""
    network = import_onnx(path, **options)
    assert network.card["import_check"]["against"].startswith("onnxruntime")
    (wanted,) = runtime.InferenceSession(str(path)).run(["y"], {"x": image})
    found = network.forward(image.astype(float).reshape(-1, *network.input_shape))
    np.testing.assert_allclose(found.ravel(), wanted.ravel(), atol=1e-5 * np.abs(wanted).max())
    return network


CONV = node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1])


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Conv", ["x", "w", "b"], ["y"], pads=[0, 0, 1, 1])],
        [node("Conv", ["x", "w", "b"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])],
        [node("Conv", ["x", "w", "b"], ["y"], auto_pad="SAME_LOWER", strides=[2, 2])],
        [node("Pad", ["x", "pads"], ["p"]), node("Conv", ["p", "w", "b"], ["y"])],
        [node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=0)],
        [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])],
        [node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)],
    ],
    ids=["conv", "same upper", "same lower", "pad before", "average", "max", "ceil"],
)
def test_padding__on_one_side(nodes, tmp_path):
    held = {**HELD, "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64)}
    agrees(stored(tmp_path / "n.onnx", nodes, held, [1, 3, 6, 6]), normal(1, 3, 6, 6, seed=2))


GATE = [
    CONV, node("GlobalAveragePool", ["c"], ["p"]), node("Flatten", ["p"], ["f"]), node("Sigmoid", ["f"], ["s"]),
    node("Mul", ["c", "s"], ["y"]),
]  # fmt: skip


def test_product__aligns_the_last_axes_as_numpy_does(tmp_path):
    """A vector of five meets the width of five, not the five channels."""
    network = agrees(stored(tmp_path / "n.onnx", GATE, HELD, [1, 3, 5, 5]), normal(1, 3, 5, 5))
    assert not any(type(layer).__name__ == "Scale" for layer in network.layers)
    path = stored(tmp_path / "narrow.onnx", GATE, HELD, [1, 3, 5, 6])
    with pytest.raises(ParameterError, match=r"node 'Mul_4' \(Mul\): it combines \(1, 5, 5, 6\) and \(1, 5\)"):
        import_onnx(path)


def test_expand__is_not_forgotten(tmp_path):
    nodes = [
        CONV, node("GlobalAveragePool", ["c"], ["p"]), node("Expand", ["p", "to"], ["y"]),
    ]  # fmt: skip
    held = {**HELD, "to": np.array([1, 5, 2, 2], np.int64)}
    assert len(agrees(stored(tmp_path / "n.onnx", nodes, held, [1, 3, 5, 5]), normal(1, 3, 5, 5)).classes) == 20


@pytest.mark.parametrize("opset", [6, 7, 8, 9, 10, 11, 12])
def test_old_opsets__have_their_own_attributes(opset, tmp_path):
    """Axes, bounds and pads as attributes; a softmax that flattens what it gets; sums with axis and broadcast."""
    clip = node("Clip", ["a", "low"], ["r"]) if opset >= 11 else node("Clip", ["a"], ["r"], min=-0.5)
    pad = node("Pad", ["r", "pads"], ["q"]) if opset >= 11 else node("Pad", ["r"], ["q"], pads=[0, 0, 1, 0, 0, 0, 1, 0])
    cut = (
        node("Slice", ["q", "s", "e", "ax"], ["k"])
        if opset >= 10
        else node("Slice", ["q"], ["k"], starts=[1], ends=[5], axes=[3])
    )
    more = {"axis": 1, "broadcast": 1} if opset < 7 else {}
    add = node("Add", ["c", "v"], ["a"], **more)
    nodes = [
        CONV, add, clip, pad, cut, node("ReduceMean", ["k"], ["m"], axes=[2], keepdims=0),
        node("Unsqueeze", ["m"], ["u"], axes=[2]), node("Softmax", ["u"], ["y"], axis=1),
    ]  # fmt: skip
    held = {
        **HELD, "v": normal(5) if opset < 7 else normal(5, 1, 1), "low": np.array(-0.5, np.float32),
        "pads": np.array([0, 0, 1, 0, 0, 0, 1, 0], np.int64), "s": np.array([1], np.int64),
        "e": np.array([5], np.int64), "ax": np.array([3], np.int64),
    }  # fmt: skip
    used = {name for each in nodes for name in each.input}
    held = {name: value for name, value in held.items() if name in used}
    path = stored(tmp_path / "n.onnx", nodes, held, [1, 3, 6, 6], opset=opset)
    if opset >= 7:  # the oldest that onnxruntime runs
        agrees(path, normal(1, 3, 6, 6))
    else:
        newer = [CONV, node("Add", ["c", "v"], ["a"]), *nodes[2:]]
        again = stored(tmp_path / "m.onnx", newer, {**held, "v": held["v"].reshape(5, 1, 1)}, [1, 3, 6, 6], opset=7)
        x = normal(1, 3, 6, 6).astype(float)
        np.testing.assert_array_equal(import_onnx(path, check=False).forward(x), import_onnx(again).forward(x))


def test_weights__beside_the_file(tmp_path):
    path = stored(tmp_path / "n.onnx", [node("Conv", ["x", "w", "b"], ["y"])], HELD, [1, 3, 6, 6])
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="n.data", size_threshold=0)
    assert (tmp_path / "n.data").is_file()
    agrees(path, normal(1, 3, 6, 6))


@pytest.mark.parametrize(
    ("kind", "dtype"), [(onnx.TensorProto.DOUBLE, np.float64), (onnx.TensorProto.FLOAT16, np.float16)]
)
def test_precisions__other_than_single(kind, dtype, tmp_path):
    held = {name: (value * 0.1).astype(dtype) for name, value in HELD.items()}
    path = stored(tmp_path / "n.onnx", [node("Conv", ["x", "w", "b"], ["y"])], held, [1, 3, 6, 6], kind=kind)
    off = import_onnx(path).card["import_check"]["largest_difference"]
    assert off < (1e-12 if dtype == np.float64 else 8e-3)


def test_channels_last__with_a_transpose_in_front(tmp_path):
    nodes = [node("Transpose", ["x"], ["n"], perm=[0, 3, 1, 2]), node("Conv", ["n", "w", "b"], ["y"])]
    path = stored(tmp_path / "n.onnx", nodes, HELD, [1, 5, 6, 3])
    network = import_onnx(path)
    assert network.input_shape == (3, 5, 6)
    image = normal(1, 5, 6, 3)
    (wanted,) = runtime.InferenceSession(str(path)).run(None, {"x": image})
    found = network.forward(np.moveaxis(image, 3, 1).astype(float))
    np.testing.assert_allclose(found.ravel(), wanted.ravel(), atol=1e-5)


def test_vectors_and_lines__are_images_of_one_row(tmp_path):
    held = {"w1": normal(16, 95), "b1": normal(16), "w2": normal(6, 16)}
    nodes = [
        node("Gemm", ["x", "w1", "b1"], ["h"], transB=1), node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w2"], ["y"], transB=1),
    ]  # fmt: skip
    path = stored(tmp_path / "n.onnx", nodes, held, [1, 95])
    assert agrees(path, normal(1, 95)).input_shape == (95, 1, 1)
    agrees(path, normal(1, 95), input_shape=(95, 1, 1))
    line = stored(
        tmp_path / "l.onnx",
        [node("Conv", ["x", "k"], ["y"], pads=[2, 1], strides=[2])],
        {"k": normal(4, 3, 3)},
        [1, 3, 9],
    )
    assert agrees(line, normal(1, 3, 9)).input_shape == (3, 1, 9)


def test_fixed_batch__becomes_one_image(tmp_path):
    """Reshapes, and the groups of a convolution that is mixed for each image, hold the batch of four."""
    nodes = [
        node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["f"]), node("MatMul", ["f", "fc"], ["z"]),
        node("Softmax", ["z"], ["s"], axis=1), node("MatMul", ["s", "bank"], ["m"]),
        node("Reshape", ["m", "kernel"], ["k"]), node("Reshape", ["x", "beside"], ["xs"]),
        node("Conv", ["xs", "k"], ["c"], group=4, pads=[1, 1, 1, 1]), node("Reshape", ["c", "back"], ["y"]),
    ]  # fmt: skip
    held = {
        "fc": normal(3, 2), "bank": normal(2, 5 * 27), "kernel": np.array([20, 3, 3, 3], np.int64),
        "beside": np.array([1, 12, 6, 6], np.int64), "back": np.array([4, 5, 6, 6], np.int64),
    }  # fmt: skip
    network = agrees(stored(tmp_path / "n.onnx", nodes, held, [4, 3, 6, 6]), normal(4, 3, 6, 6))
    (layer,) = (each for each in network.layers if isinstance(each, DynamicConv))
    assert (layer.groups, layer.kernels) == (1, 2)
    mixing = stored(tmp_path / "m.onnx", [CONV, node("ReduceMean", ["c"], ["y"], axes=[0])], HELD, [4, 3, 6, 6])
    with pytest.raises(ParameterError, match="it mixes the images of the batch; export the model with a batch of one"):
        import_onnx(mixing)


def test_nodes__that_nothing_needs_and_in_any_order(tmp_path):
    nodes = [node("Relu", ["c"], ["y"]), node("NonZero", ["c"], ["unused"]), CONV]
    path = stored(tmp_path / "n.onnx", nodes, HELD, [1, 3, 6, 6])
    x = normal(1, 3, 6, 6).astype(float)
    kinds = [type(layer).__name__ for layer in import_onnx(path, check=False).layers]
    assert kinds == ["Conv", "Relu", "Flatten"]
    two = stored(tmp_path / "two.onnx", [CONV, node("Relu", ["c"], ["y"])], HELD, [1, 3, 6, 6], outputs=("c", "y"))
    with pytest.raises(ParameterError, match=r"1 inputs and 2 outputs.*name one of the outputs \['c', 'y'\]"):
        import_onnx(two)
    np.testing.assert_array_equal(import_onnx(two, output="y").forward(x), import_onnx(path, check=False).forward(x))


def test_shape__of_a_part(tmp_path):
    nodes = [
        CONV, node("Shape", ["x"], ["s"], start=0, end=1), node("Concat", ["s", "rest"], ["to"], axis=0),
        node("Reshape", ["c", "to"], ["y"]),
    ]  # fmt: skip
    agrees(
        stored(tmp_path / "n.onnx", nodes, {**HELD, "rest": np.array([-1], np.int64)}, [1, 3, 5, 5]), normal(1, 3, 5, 5)
    )


def test_quantised__weights_stand_for_their_values_and_activations_keep_their_range(tmp_path):
    q = np.random.default_rng(0).integers(-127, 128, (5, 3, 3, 3)).astype(np.int8)
    held = {
        "q": q, "s": np.array(0.01, np.float32), "z": np.array(0, np.int8), "b": HELD["b"],
        "as": np.array(0.02, np.float32), "az": np.array(0, np.uint8),
    }  # fmt: skip
    weights = [node("DequantizeLinear", ["q", "s", "z"], ["w"]), node("Conv", ["x", "w", "b"], ["c"])]
    alone = [*weights[:1], node("Conv", ["x", "w", "b"], ["y"])]
    agrees(stored(tmp_path / "w.onnx", alone, {k: held[k] for k in "qszb"}, [1, 3, 5, 5]), normal(1, 3, 5, 5))
    both = [
        *weights, node("QuantizeLinear", ["c", "as", "az"], ["u"]), node("DequantizeLinear", ["u", "as", "az"], ["y"]),
    ]  # fmt: skip
    path = stored(tmp_path / "a.onnx", both, held, [1, 3, 5, 5])
    network, image = import_onnx(path), normal(1, 3, 5, 5)
    assert network.card["import_check"]["largest_difference"] < 1e-5
    found = network.forward(image.astype(float)).ravel()
    assert (found.min(), found.max()) == (0.0, pytest.approx(255 * 0.02))  # unsigned integers of this scale end there
    (wanted,) = runtime.InferenceSession(str(path)).run(None, {"x": image})
    assert np.abs(found - wanted.ravel()).max() <= 0.5001 * 0.02
    ends = stored(
        tmp_path / "e.onnx", [*both[:2], node("QuantizeLinear", ["c", "as", "az"], ["y"])], held, [1, 3, 5, 5]
    )
    with pytest.raises(ParameterError, match="whole numbers come out of it"):
        import_onnx(ends, check=False)


def test_quantised__the_ranges_of_the_file_can_be_those_of_the_row_codes(tmp_path):
    from mapping import Hardware, compile_network

    held = {
        **HELD, "v": normal(4, 5, 3, 3, seed=2), "as": np.array(0.02, np.float32), "az": np.array(28, np.uint8),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], name="first"), node("QuantizeLinear", ["c", "as", "az"], ["u"]),
        node("DequantizeLinear", ["u", "as", "az"], ["d"]), node("MaxPool", ["d"], ["p"], kernel_shape=[1, 1]),
        node("Conv", ["p", "v"], ["y"], name="second"),
    ]  # fmt: skip
    network = import_onnx(stored(tmp_path / "a.onnx", nodes, held, [1, 3, 6, 6]))
    assert network.card["quantised_activations"] == 1
    images = 0.05 * np.abs(normal(2, 3, 6, 6)).astype(float)  # which leave most of the range unused
    scales = {}
    for way in ("calibration", "network"):
        chip = Hardware().with_values([f"mapping.input_ranges={way}", "tile.compensate_wires=false"])
        scales[way] = [matrix.x_scale for matrix in compile_network(network, chip, images).all_matrices]
    plain, stated = scales["calibration"], scales["network"]
    assert stated[0] == plain[0]  # nothing clips the image
    assert stated[1] == pytest.approx((255 - 28) * 0.02, rel=1e-6)
    assert plain[1] < stated[1]
    with pytest.raises(ParameterError, match=r"input_ranges must be one of calibration, network, got 'file'"):
        Hardware().with_values(["mapping.input_ranges=file"])


def test_means__axes_that_come_as_an_input_count_from_the_batch(tmp_path):
    """Axis 1 of a value with its batch is its first own axis, whether the axes are an attribute or an input."""
    image = normal(1, 3, 2, 2)
    for keep in (0, 1):
        path = stored(
            tmp_path / "m.onnx", [node("ReduceMean", ["x", "axes"], ["y"], keepdims=keep)],
            {"axes": np.array([1])}, image.shape, opset=18,
        )  # fmt: skip
        network = agrees(path, image)
        np.testing.assert_allclose(network.forward(image.astype(float)).ravel(), image.mean(1).ravel(), rtol=1e-6)


def test_hard_functions__spelt_out_with_either_slope(tmp_path):
    nodes = [
        CONV, node("HardSigmoid", ["c"], ["h"]), node("Mul", ["c", "h"], ["m"]),
        node("Add", ["m", "three"], ["t"]), node("Clip", ["t", "zero", "six"], ["k"]), node("Mul", ["m", "k"], ["n"]),
        node("Div", ["n", "six"], ["y"]),
    ]  # fmt: skip
    held = {**HELD, "three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
    held = {name: np.asarray(value) for name, value in held.items()}
    network = agrees(stored(tmp_path / "n.onnx", nodes, held, [1, 3, 5, 5]), normal(1, 3, 5, 5))
    kinds = [getattr(layer, "kind", type(layer).__name__) for layer in network.layers]
    assert kinds == ["Conv", "HardSigmoid", "Multiply", "hard-swish", "Flatten"]


def test_functions__of_the_file_are_written_out(tmp_path):
    body = helper.make_function(
        "ours", "Twice", ["a"], ["d"], [node("Add", ["a", "a"], ["e"]), node("Neg", ["e"], ["d"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    nodes = [CONV, node("Twice", ["c"], ["y"], domain="ours")]
    agrees(stored(tmp_path / "n.onnx", nodes, HELD, [1, 3, 5, 5], functions=[body]), normal(1, 3, 5, 5))


PICKED = {
    "rows": np.array([[[[0, 2, 1, 1]]]], dtype=np.int64).repeat(3, 1),
    "spots": np.array([[0, 2, 1], [0, 0, 3]], dtype=np.int64),
    "new": normal(2, 4, seed=3),
    "cells": np.array([[[[0, 2]], [[1, 1]]]], dtype=np.int64),
    "given": normal(1, 2, 1, 2, seed=4),
}


@pytest.mark.parametrize(
    "nodes",
    [
        [node("GatherElements", ["c", "rows"], ["y"], axis=3)],
        [node("GatherND", ["c", "spots"], ["y"])],
        [node("ScatterND", ["c", "spots", "new"], ["y"])],
        [node("ScatterElements", ["c", "cells", "given"], ["y"], axis=3)],
        [node("Trilu", ["c"], ["y"], upper=0)],
        [node("LpNormalization", ["c"], ["y"], axis=1, p=2)],
        [node("Einsum", ["c", "m"], ["y"], equation="...w,wv->...v")],
        [node("MaxPool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 2, 2])],
    ],
    ids=lambda nodes: nodes[0].op_type,
)
def test_constant_places__and_other_operators_come_in(nodes, tmp_path):
    image = normal(1, 3, 5, 4, seed=2)
    held = {"w": normal(3, 3, 1, 1), "m": normal(4, 2), **PICKED}
    conv = node("Conv", ["x", "w"], ["c"])
    used = {each for one in (conv, *nodes) for each in one.input}
    held = {name: value for name, value in held.items() if name in used}
    agrees(stored(tmp_path / "m.onnx", [conv, *nodes], held, image.shape), image)


def test_pool__along_the_first_axis_of_a_volume(tmp_path):
    """As an exporter spells a local response norm."""
    held = {"shape": np.array([1, 1, 3, 5, 4])}
    pool = node("AveragePool", ["v"], ["y"], kernel_shape=[2, 1, 1], strides=[1, 1, 1])
    image = normal(1, 3, 5, 4)
    agrees(stored(tmp_path / "m.onnx", [node("Reshape", ["x", "shape"], ["v"]), pool], held, image.shape), image)


def test_old_exporter__fills_the_states_of_recurrent_layers(tmp_path):
    """ConstantFill, which torch writes below opset 9 and ONNX never named: no runtime runs it, so none is compared."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"]), node("Shape", ["c"], ["s"]),
        node("ConstantFill", ["s"], ["z"], input_as_shape=1, value=0.5), node("Add", ["c", "z"], ["y"]),
    ]  # fmt: skip
    path = stored(tmp_path / "m.onnx", nodes, HELD, (1, 3, 6, 6), opset=7)
    plain = stored(tmp_path / "p.onnx", [node("Conv", ["x", "w", "b"], ["y"])], HELD, (1, 3, 6, 6), opset=7)
    network, image = import_onnx(path), normal(1, 3, 6, 6).astype(float)
    assert network.card["import_check"]["against"] == "not compared"
    np.testing.assert_allclose(network.forward(image), import_onnx(plain).forward(image) + 0.5)


@pytest.mark.parametrize(("kind", "words"), [("ReduceMean", "'r' means"), ("Softmax", "'r' means"), ("Tanh", None)])
def test_output__declared_with_other_axes_is_refused_where_axes_matter(kind, words, tmp_path):
    """A file that says (3, 4, 5) and gives (1, 3, 4, 5): which axis does its node mean?"""
    last = node(kind, ["x"], ["y"], "r", **({"axes": [1]} if kind == "ReduceMean" else {}))
    path = stored(tmp_path / "m.onnx", [last], {}, (1, 3, 4, 5), opset=13)
    model = onnx.load(path)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (3, 4, 5)))
    onnx.save(model, path)
    if words is None:
        assert import_onnx(path, check=False).layers
        return
    with pytest.raises(ParameterError, match=rf"output 'y' is declared with 3 axes, but its nodes give .*{words}"):
        import_onnx(path)


def test_dropout__in_training_mode_is_refused(tmp_path):
    held = {**HELD, "r": np.array(0.5, np.float32), "on": np.array(True)}
    path = stored(tmp_path / "n.onnx", [CONV, node("Dropout", ["c", "r", "on"], ["y"])], held, [1, 3, 5, 5])
    with pytest.raises(ParameterError, match=r"\(Dropout\): it is in training mode, so its output is random"):
        import_onnx(path, check=False)


def test_arithmetic__with_constants_is_one_norm(tmp_path):
    nodes = [
        node("Div", ["x", "p"], ["a"]), node("Sub", ["a", "m"], ["s"]), node("Div", ["s", "d"], ["n"]),
        node("Conv", ["n", "w", "b"], ["y"]),
    ]  # fmt: skip
    held = {
        **HELD, "p": np.array(255.0, np.float32), "m": normal(3, 1, 1), "d": np.abs(normal(3, 1, 1)) + 0.5,
    }  # fmt: skip
    network = agrees(stored(tmp_path / "n.onnx", nodes, held, [1, 3, 5, 5]), 255 * normal(1, 3, 5, 5))
    assert [type(layer) for layer in network.layers[:2]] == [BatchNorm, Conv]


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_recurrent__gates_in_their_order(kind, gates, direction, tmp_path):
    ways = 2 if direction == "bidirectional" else 1
    held = {
        "w": normal(ways, gates * 4, 6), "r": normal(ways, gates * 4, 4, seed=1), "b": normal(ways, gates * 8, seed=2),
        "to": np.array([7, 1, 6], np.int64),
    }  # fmt: skip
    nodes = [
        node("Reshape", ["x", "to"], ["t"]),
        node(kind, ["t", "w", "r", "b"], ["all", "last"], hidden_size=4, direction=direction),
        node("Flatten", ["last"], ["v"], axis=0), node("Flatten", ["all"], ["u"], axis=0),
        node("Concat", ["v", "u"], ["y"], axis=1),
    ]  # fmt: skip
    agrees(stored(tmp_path / "n.onnx", nodes, held, [1, 7, 6]), normal(1, 7, 6))


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs__agree_with_onnxruntime(seed, tmp_path):
    """The generator of benchmarks/importing.py, which draws thousands."""
    from benchmarks.importing import drawn_graph

    made = drawn_graph(seed)
    if made is None:
        return
    model, image, wanted, allowed = made
    onnx.save(model, tmp_path / "n.onnx")
    try:
        network = import_onnx(tmp_path / "n.onnx", check=False)
    except ParameterError as error:
        named = any(each in str(error) for each in ("node '", ": it ", "gives back its image"))
        if not named:
            raise
        return
    if network.input_shape != image.shape[1:]:
        image = np.moveaxis(image, -1, 1)
    found = network.forward(image.astype(float))
    assert np.abs(found.ravel() - wanted.ravel()).max() <= allowed * (np.abs(wanted).max() or 1.0)
