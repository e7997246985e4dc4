"""Every kind of layer: against numbers worked out by hand, against torch where it is installed, in both precisions."""

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping.networks import (
    KINDS,
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    Add,
    Affine,
    AveragePool,
    BatchNorm,
    Broadcast,
    ChannelShuffle,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    DynamicConv,
    Elu,
    Gather,
    GlobalAveragePool,
    GroupNorm,
    HardSigmoid,
    InstanceNorm,
    LayerNorm,
    LeakyRelu,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MatMul,
    Maximum,
    MaxPool,
    Minimum,
    Multiply,
    Network,
    Pad,
    Permute,
    Power,
    PRelu,
    Recurrent,
    Reduce,
    Relu,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Softplus,
    Subtract,
    Upsample,
    load_network,
    save_network,
)
from mapping.networks.layers.activations import ACTIVATIONS, Activation
from mapping.networks.layers.examples import MADE, example_images, example_layers
from mapping.networks.layers.shapes import PADDINGS
from mapping.networks.unrolling import as_padding, sides

ONE, TWO = ("a",), ("a", "b")


def applied(layer, *values):
    """What a layer makes of one image's values, once its shape agrees with what it says."""
    batch = [np.asarray(value, dtype=np.float64)[None] for value in values]
    out = layer.apply(*batch)
    assert out.shape[1:] == layer.output_shape(*(each.shape[1:] for each in batch))
    return out[0]


# numbers worked out by hand


BY_HAND = {
    "a transposed convolution lays kernels down": (
        ConvTranspose("x", ONE, [[[[1.0, 2.0, 3.0]]]], stride=(1, 2)),
        [[[1.0, 10.0]]], [[[1.0, 2.0, 13.0, 20.0, 30.0]]],
    ),
    "its padding cuts off and its bias is added": (
        ConvTranspose("x", ONE, [[[[1.0, 2.0, 3.0]]]], [0.5], (1, 2), (0, 1, 0, 0), output_padding=(0, 1)),
        [[[1.0, 10.0]]], [[[2.5, 13.5, 20.5, 30.5, 0.5]]],
    ),
    "a row is a map of one row": (Conv("x", ONE, [[[[1.0, -1.0]]]]), [[3.0, 5.0, 4.0]], [[-2.0, 1.0]]),
    "padding on one side": (
        Conv("x", ONE, [[[[1.0, 1.0]]]], padding=(0, 1, 0, 0)), [[[3.0, 5.0]]], [[[3.0, 8.0]]]
    ),
    "a fully connected layer along the last axis": (
        Linear("x", ONE, [[1.0, 2.0]], [1.0]), [[1.0, 1.0], [0.0, 3.0]], [[4.0], [7.0]]
    ),
    "a plain recurrent network": (
        Recurrent("x", ONE, [[1.0]], [[2.0]], None, [0.5], "rnn-relu"), [[1.0], [1.0], [-9.0]], [[1.5], [4.5], [0.5]]
    ),
    "and backwards": (
        Recurrent("x", ONE, [[1.0]], [[2.0]], None, [0.5], "rnn-relu", reverse=True),
        [[1.0], [1.0], [-9.0]], [[4.5], [1.5], [0.0]],
    ),
    "the largest of windows that hang over the edge": (
        MaxPool("x", ONE, (1, 2), (1, 2), ceil_mode=True), [[[1.0, 2.0, -3.0]]], [[[2.0, -3.0]]]
    ),
    "the mean counts only what there is of a window": (
        AveragePool("x", ONE, (1, 2), (1, 2), ceil_mode=True), [[[1.0, 2.0, -3.0]]], [[[1.5, -3.0]]]
    ),
    "but the padding too": (
        AveragePool("x", ONE, (1, 2), (1, 2), (0, 0, 0, 1)), [[[1.0, 2.0, -3.0]]], [[[1.5, -1.5]]]
    ),
    "a window with steps between its pixels": (
        MaxPool("x", ONE, (1, 2), (1, 1), dilation=(1, 2)), [[[4.0, 2.0, 1.0, 9.0]]], [[[4.0, 9.0]]]
    ),
    "adaptive windows overlap": (AdaptiveAveragePool("x", ONE, (1, 2)), [[1.0, 2.0, 6.0]], [[1.5, 4.0]]),
    "and grow a map": (AdaptiveMaxPool("x", ONE, (1, 3)), [[1.0, 2.0]], [[1.0, 2.0, 2.0]]),
    "the nearest pixel": (Upsample("x", ONE, (1, 4)), [[[1.0, 2.0]]], [[[1.0, 1.0, 2.0, 2.0]]]),
    "lines between pixels": (
        Upsample("x", ONE, (1, 4), "bilinear", "half-pixel"), [[[1.0, 2.0]]], [[[1.0, 1.25, 1.75, 2.0]]]
    ),
    "lines between the outermost pixels": (
        Upsample("x", ONE, (1, 3), "bilinear", "align-corners"), [[[1.0, 2.0]]], [[[1.0, 1.5, 2.0]]]
    ),
    "a cubic through a straight line": (
        Upsample("x", ONE, (1, 7), "bicubic", "align-corners"), [[[0.0, 1.0, 2.0, 3.0]]],
        [[[0.0, 0.40625, 1.0, 1.5, 2.0, 2.59375, 3.0]]],
    ),
    "groups of channels are normalised": (
        GroupNorm("x", ONE, 1, [2.0, 1.0], [0.0, 5.0], 3.0), [[1.0], [3.0]], [[-1.0], [5.5]]
    ),
    "and each channel": (
        InstanceNorm("x", ONE, [2.0], [1.0], 3.0), [[1.0, 3.0]], [[0.0, 2.0]]
    ),
    "the last axis is normalised": (
        LayerNorm("x", ONE, [2.0, 1.0], [0.0, 5.0], 3.0), [[1.0, 3.0]], [[-1.0, 5.5]]
    ),
    "neighbouring channels share a norm": (
        LocalResponseNorm("x", ONE, 2, 2.0, 1.0, 1.0), [1.0, 2.0, 0.0], [1.0 / 6.0, 2.0 / 5.0, 0.0]
    ),
    "or those before": (
        LocalResponseNorm("x", ONE, 2, 2.0, 1.0, 1.0, before=1), [1.0, 2.0, 0.0], [0.5, 2.0 / 6.0, 0.0]
    ),
    "leaky": (LeakyRelu("x", ONE, 0.5), [-2.0, 3.0], [-1.0, 3.0]),
    "leaky by channel": (PRelu("x", ONE, [0.5, 2.0]), [[-2.0], [-3.0]], [[-1.0], [-6.0]]),
    "exponential below zero": (Elu("x", ONE, 2.0, 3.0, 0.5), [-2.0, 1.0], [6.0 * np.expm1(-1.0), 3.0]),
    "soft": (Softplus("x", ONE, 2.0), [0.0, -1e4, 1e4], [np.log(2.0) / 2.0, 0.0, 1e4]),
    "hard": (HardSigmoid("x", ONE, 0.2), [-9.0, 1.0, 9.0], [0.0, 0.7, 1.0]),
    "bounds": (Clip("x", ONE, None, 1.0), [-9.0, 9.0], [-9.0, 1.0]),
    "a power": (Power("x", ONE, -2.0), [2.0], [0.25]),
    "shares along an axis": (Softmax("x", ONE, 1), [[0.0, np.log(3.0)]], [[0.25, 0.75]]),
    "and their logarithms": (LogSoftmax("x", ONE), [0.0, np.log(3.0)], [np.log(0.25), np.log(0.75)]),
    "a constant in place of a map": (Affine("x", ONE, 0.0, [[1.0], [2.0]]), [5.0, 6.0], [[1.0, 1.0], [2.0, 2.0]]),
    "sums along axes": (
        Reduce("x", ONE, "sum", (0, 2)), [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]], [14.0, 22.0]
    ),
    "largest along axes that stay": (Reduce("x", ONE, "max", (1,), keep=True), [[1.0, 2.0]], [[2.0]]),
    "all values": (Reduce("x", ONE, "mean", (0,)), [1.0, 2.0], 1.5),
    "memory order": (Reshape("x", ONE, (2, 2)), [1.0, 2.0, 3.0, 4.0], [[1.0, 2.0], [3.0, 4.0]]),
    "turned": (Permute("x", ONE, (1, 0)), [[1.0, 2.0], [3.0, 4.0]], [[1.0, 3.0], [2.0, 4.0]]),
    "shuffled": (ChannelShuffle("x", ONE, 2), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
    "backwards": (Slice("x", ONE, 0, 3, 2, -3), [1.0, 2.0, 3.0, 4.0], [4.0, 1.0]),
    "chosen": (Gather("x", ONE, 0, (2, 2, 0)), [1.0, 2.0, 3.0], [3.0, 3.0, 1.0]),
    "a number around": (Pad("x", ONE, (1,), (2,), value=7.0), [1.0], [7.0, 1.0, 7.0, 7.0]),
    "a mirror around": (Pad("x", ONE, (2,), (1,), "reflect"), [1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]),
    "its end repeated": (Pad("x", ONE, (0,), (2,), "edge"), [1.0, 2.0], [1.0, 2.0, 2.0, 2.0]),
    "its other end": (Pad("x", ONE, (1,), (1,), "wrap"), [1.0, 2.0, 3.0], [3.0, 1.0, 2.0, 3.0, 1.0]),
    "repeated": (Broadcast("x", ONE, (2, 2)), [[1.0], [2.0]], [[1.0, 1.0], [2.0, 2.0]]),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_layer__by_hand(case):
    layer, given, wanted = BY_HAND[case]
    np.testing.assert_allclose(applied(layer, given), wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (Add, [[11.0, 22.0], [13.0, 24.0]]),
        (Subtract, [[-9.0, -18.0], [-7.0, -16.0]]),
        (Multiply, [[10.0, 40.0], [30.0, 80.0]]),
        (Divide, [[0.1, 0.1], [0.3, 0.2]]),
        (Maximum, [[10.0, 20.0], [10.0, 20.0]]),
        (Minimum, [[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_arithmetic__broadcasts_as_numpy_does(kind, wanted):
    layer = kind("x", TWO)
    np.testing.assert_allclose(applied(layer, [[1.0, 2.0], [3.0, 4.0]], [10.0, 20.0]), wanted, rtol=1e-15)
    ones = (5, 1, 3), (2, 1), (1,)
    if layer.most is None:
        assert kind("x", ("a", "b", "c")).output_shape(*ones) == (5, 2, 3)


def test_multiply__aligns_a_vector_with_the_width_as_numpy_does(rng):
    """A gate (3,) on a map whose width is 3 scales columns, not channels; `Scale` scales channels."""
    x, gate = rng.normal(size=(3, 2, 3)), rng.normal(size=3)
    np.testing.assert_array_equal(applied(Multiply("x", TWO), x, gate), x * gate)
    np.testing.assert_array_equal(applied(Scale("x", TWO), x, gate), x * gate[:, None, None])


def test_matmul__broadcasts_the_axes_before_the_matrices(rng):
    one, other = rng.normal(size=(3, 2, 4)), rng.normal(size=(4, 5))
    np.testing.assert_allclose(applied(MatMul("x", TWO), one, other), np.matmul(one, other), rtol=1e-14)


@pytest.mark.parametrize("kind", [kind for kind in PADDINGS if kind != "constant"])
def test_pad__takes_the_image_s_own_values(rng, kind):
    x = rng.normal(size=(2, 4, 3))
    layer = Pad("x", ONE, (0, 1, 2), (1, 3, 0), kind)
    np.testing.assert_array_equal(applied(layer, x), np.pad(x, [(0, 1), (1, 3), (2, 0)], mode=kind))


def test_concat__joins_along_any_axis(rng):
    one, other = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 1, 4))
    np.testing.assert_array_equal(applied(Concat("x", TWO, 1), one, other), np.concatenate([one, other], axis=1))


def test_conv__transposed_is_the_adjoint_of_the_convolution(rng):
    """<conv(x), y> = <x, transposed(y)> for the same weights, strides, paddings and groups."""
    weight = rng.normal(size=(4, 3, 3, 2))
    geometry = {"stride": (2, 3), "padding": (1, 0, 2, 1), "dilation": (1, 2), "groups": 2}
    conv = Conv("x", ONE, weight, **geometry)
    x = rng.normal(size=(1, 6, 9, 8))
    y = rng.normal(size=(1, *conv.output_shape((6, 9, 8))))
    left = (9 + 3 - 3) % 2, (8 + 1 - 3) % 3  # rows and columns that the last window leaves out
    back = ConvTranspose("x", ONE, weight, **geometry, output_padding=left)
    assert back.output_shape(y.shape[1:]) == (6, 9, 8)
    np.testing.assert_allclose(np.sum(conv.apply(x) * y), np.sum(x * back.apply(y)), rtol=1e-12)


def test_recurrent__hidden_rows_are_the_states_before_each_step(rng):
    sizes = ((12, 5), (12, 3), (12,), (12,))
    layer = Recurrent("x", ONE, *(rng.normal(size=size) for size in sizes), "lstm")
    x = rng.normal(size=(2, 6, 5))
    states = layer.apply(x)
    np.testing.assert_array_equal(layer.rows([x], 1)[:, 1:], states[:, :-1])
    np.testing.assert_array_equal(layer.rows([x], 1)[:, 0], np.zeros((2, 3)))


def test_padding__of_equal_sides_is_a_pair():
    assert as_padding("p", (1, 2, 1, 2)) == (1, 2)
    assert as_padding("p", [1, 2, 0, 2]) == (1, 2, 0, 2)
    assert sides((1, 2)) == (1, 2, 1, 2)


# torch


def torch_cases(torch):
    """(layer, shapes of its inputs, the same in torch's functions), random numbers from numpy."""
    f, nn = torch.nn.functional, torch.nn
    rng = np.random.default_rng(8)
    t = torch.tensor

    def recurrent(kind, module, **options):
        module = module.double()
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        held = [getattr(module, each).detach().numpy() for each in names]
        return Recurrent("x", ONE, *held, kind, **options), [(7, 5)], lambda x: module(x)[0]

    w, b = rng.normal(size=(4, 3, 3, 2)), rng.normal(size=4)
    wt, bt = rng.normal(size=(6, 2, 3, 2)), rng.normal(size=4)
    g, s = rng.normal(size=(2, 6))
    plain = {
        "relu6": f.relu6, "sigmoid": torch.sigmoid, "hard-sigmoid": f.hardsigmoid, "hard-swish": f.hardswish,
        "silu": f.silu, "tanh": torch.tanh, "gelu": f.gelu, "gelu-tanh": lambda x: f.gelu(x, approximate="tanh"),
        "quick-gelu": lambda x: x * torch.sigmoid(1.702 * x), "mish": f.mish, "softplus": f.softplus,
        "softsign": f.softsign, "log-sigmoid": f.logsigmoid, "tanh-shrink": f.tanhshrink, "exp": torch.exp,
        "log": torch.log, "sqrt": torch.sqrt, "reciprocal": torch.reciprocal, "abs": torch.abs, "sign": torch.sign,
        "floor": torch.floor, "ceil": torch.ceil, "round": torch.round, "erf": torch.erf, "sin": torch.sin,
        "cos": torch.cos,
    }  # fmt: skip
    assert set(plain) == set(ACTIVATIONS)
    positive = ("log", "sqrt", "reciprocal")
    cases = [
        (Activation("x", ONE, kind), [(3, 4)], call)
        if kind not in positive
        else (Activation("x", ONE, kind), [(3, 4)], lambda x, call=call: call(x))
        for kind, call in plain.items()
    ]
    return [
        *cases,
        (Conv("x", ONE, w, b, (2, 1), (1, 0, 0, 2)), [(3, 7, 6)],
            lambda x: f.conv2d(f.pad(x, (0, 2, 1, 0)), t(w), t(b), (2, 1))),
        (Conv("x", ONE, w[:, :, :1], b, (1, 2), (0, 1), (1, 2)), [(3, 11)],
            lambda x: f.conv1d(x, t(w[:, :, 0]), t(b), 2, 1, 2)),
        (ConvTranspose("x", ONE, wt, bt, (2, 3), (1, 0), (1, 2), 2, (1, 2)), [(6, 4, 5)],
            lambda x: f.conv_transpose2d(x, t(wt), t(bt), (2, 3), (1, 0), (1, 2), 2, (1, 2))),
        (ConvTranspose("x", ONE, wt[:, :, :1], None, (1, 2), groups=1), [(6, 5)],
            lambda x: f.conv_transpose1d(x, t(wt[:, :, 0]), None, 2)),
        (Linear("x", ONE, w[0, 0], b[:3]), [(2, 5, 2)], lambda x: f.linear(x, t(w[0, 0]), t(b[:3]))),
        recurrent("rnn-tanh", nn.RNN(5, 3, batch_first=True)),
        recurrent("rnn-relu", nn.RNN(5, 3, batch_first=True, nonlinearity="relu")),
        recurrent("lstm", nn.LSTM(5, 3, batch_first=True)),
        recurrent("gru", nn.GRU(5, 3, batch_first=True)),
        (LeakyRelu("x", ONE, 0.2), [(3, 4, 5)], lambda x: f.leaky_relu(x, 0.2)),
        (PRelu("x", ONE, g), [(6, 4, 5)], lambda x: f.prelu(x, t(g))),
        (PRelu("x", ONE, g[:1]), [(6, 4)], lambda x: f.prelu(x, t(g[:1]))),
        (Elu("x", ONE, 0.7), [(3, 4)], lambda x: f.elu(x, 0.7)),
        (Elu("x", ONE, 1.6732632423543772, 1.0507009873554805), [(3, 4)], f.selu),
        (Elu("x", ONE, 0.7, 1.0, 1.0 / 0.7), [(3, 4)], lambda x: f.celu(x, 0.7)),
        (Softplus("x", ONE, 0.5), [(3, 4)], lambda x: f.softplus(x, 0.5, 1e9)),
        (Clip("x", ONE, -0.3, 0.6), [(3, 4)], lambda x: f.hardtanh(x, -0.3, 0.6)),
        (Softmax("x", ONE, 1), [(3, 4, 2)], lambda x: torch.softmax(x, 2)),
        (LogSoftmax("x", ONE), [(5,)], lambda x: torch.log_softmax(x, 1)),
        (BatchNorm("x", ONE, g, s, s, g**2), [(6, 5)], lambda x: f.batch_norm(x, t(s), t(g**2), t(g), t(s))),
        (LayerNorm("x", ONE, g.reshape(3, 2), s.reshape(3, 2)), [(4, 3, 2)],
            lambda x: f.layer_norm(x, (3, 2), t(g.reshape(3, 2)), t(s.reshape(3, 2)))),
        (GroupNorm("x", ONE, 3, g, s, 1e-3), [(6, 4, 5)], lambda x: f.group_norm(x, 3, t(g), t(s), 1e-3)),
        (InstanceNorm("x", ONE, g, s), [(6, 4, 5)], lambda x: f.instance_norm(x, None, None, t(g), t(s))),
        (LocalResponseNorm("x", ONE, 5, 0.3, 0.6, 1.4), [(6, 2, 3)],
            lambda x: f.local_response_norm(x, 5, 0.3, 0.6, 1.4)),
        (LocalResponseNorm("x", ONE, 4, 0.3, before=2), [(6, 2, 3)], lambda x: f.local_response_norm(x, 4, 0.3)),
        (MaxPool("x", ONE, (3, 2), (2, 2), (1, 1), ceil_mode=True, dilation=(1, 2)), [(2, 8, 9)],
            lambda x: f.max_pool2d(x, (3, 2), (2, 2), (1, 1), (1, 2), ceil_mode=True)),
        *(
            (AveragePool("x", ONE, (3, 2), (2, 3), (1, 1), counted, ceil), [(2, *size)],
                lambda x, c=counted, e=ceil: f.avg_pool2d(x, (3, 2), (2, 3), (1, 1), e, c))
            for counted in (True, False) for ceil in (True, False) for size in ((7, 8), (8, 6), (6, 7))
        ),
        (MaxPool("x", ONE, (1, 3), (1, 2), ceil_mode=True), [(2, 8)], lambda x: f.max_pool1d(x, 3, 2, ceil_mode=True)),
        (AdaptiveAveragePool("x", ONE, (3, 5)), [(2, 7, 8)], lambda x: f.adaptive_avg_pool2d(x, (3, 5))),
        (AdaptiveAveragePool("x", ONE, (7, 7)), [(2, 1, 3)], lambda x: f.adaptive_avg_pool2d(x, (7, 7))),
        (AdaptiveMaxPool("x", ONE, (3, 9)), [(2, 7, 8)], lambda x: f.adaptive_max_pool2d(x, (3, 9))),
        (GlobalAveragePool("x", ONE), [(2, 7)], lambda x: x.mean(2)),
        *(
            (Upsample("x", ONE, size, mode, "align-corners" if corners else "half-pixel"), [(2, 5, 4)],
                lambda x, n=size, m=mode, c=corners: f.interpolate(x, n, mode=m, align_corners=c))
            for mode in ("bilinear", "bicubic") for corners in (True, False) for size in ((9, 7), (3, 4), (1, 11))
        ),
        (Upsample("x", ONE, (9, 7)), [(2, 5, 4)], lambda x: f.interpolate(x, (9, 7))),
        (Upsample("x", ONE, (9, 7), coordinates="half-pixel"), [(2, 5, 4)],
            lambda x: f.interpolate(x, (9, 7), mode="nearest-exact")),
        (Upsample("x", ONE, (12, 10), "bilinear", "half-pixel", (0.4, 0.4)), [(2, 5, 4)],
            lambda x: f.interpolate(x, scale_factor=2.5, mode="bilinear", recompute_scale_factor=False)),
        (ChannelShuffle("x", ONE, 3), [(6, 2, 3)], lambda x: f.channel_shuffle(x, 3)),
        (Pad("x", ONE, (0, 1, 2), (0, 3, 1), "reflect"), [(2, 5, 4)], lambda x: f.pad(x, (2, 1, 1, 3), "reflect")),
        (Reduce("x", ONE, "max", (1, 2), keep=True), [(2, 5, 4)], lambda x: x.amax((2, 3), keepdim=True)),
        (Multiply("x", TWO), [(3, 4, 5), (3, 1, 1)], lambda x, y: x * y),
        (MatMul("x", TWO), [(3, 4, 5), (3, 5, 2)], lambda x, y: x @ y),
    ]  # fmt: skip


def test_layers__equal_torch(rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    for layer, shapes, call in torch_cases(torch):
        values = [np.abs(v) + 0.1 if getattr(layer, "kind", "") in ("log", "sqrt", "reciprocal") else v
                  for v in (rng.normal(scale=2.0, size=(3, *shape)) for shape in shapes)]  # fmt: skip
        ours = layer.apply(*values)
        with torch.no_grad():
            theirs = call(*(torch.tensor(each) for each in values)).numpy()
        assert ours.shape[1:] == layer.output_shape(*shapes), layer
        # torch's Softplus is a straight line above 20, 2e-9 away; functions of the error function differ by a few ulp
        tolerance = 3e-9 if getattr(layer, "kind", "") in ("softplus", "mish") else 1e-12
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=repr(layer))


# networks of every kind


@pytest.mark.parametrize("name", MADE)
def test_example__computes_in_both_precisions_and_image_by_image(name):
    network = Network("example", (2, 5, 6), ("a", "b", "c"), example_layers(name))
    images = example_images(3)
    exact = network.forward(images)
    single = network.activations(images, single=True)
    assert {each.dtype for each in single.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(single["classes"], exact, atol=2e-5 * np.abs(exact).max())
    one_by_one = np.concatenate([network.forward(image[None]) for image in images])
    np.testing.assert_allclose(one_by_one, exact, rtol=0, atol=1e-13 * np.abs(exact).max())


@pytest.mark.parametrize("name", MADE)
def test_example__comes_back_from_a_file_bit_for_bit(name, tmp_path):
    network = Network("example", (2, 5, 6), ("a", "b", "c"), example_layers(name))
    save_network(network, tmp_path / "one.npz")
    again = load_network(tmp_path / "one.npz")
    images = example_images(2)
    np.testing.assert_array_equal(again.forward(images), network.forward(images))
    save_network(again, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert [repr(layer) for layer in again.layers] == [repr(layer) for layer in network.layers]


def test_examples__hold_every_kind():
    ours = {kind for kind in KINDS.values() if kind.__module__.startswith("mapping.")}
    assert {type(layer) for name in MADE for layer in example_layers(name)} == ours
    with pytest.raises(ParameterError, match="name must be one of"):
        example_layers("Conv3d")


# bad input


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Conv("x", ONE, np.ones((1, 1, 2, 2)), padding=(1, 2, 3)), r"x.padding must be a pair"),
        (lambda: Conv("x", ONE, np.ones((1, 1, 2, 2)), padding=(1, 2, 3, -1)), r"x.padding\[3\] must be ≥ 0"),
        (lambda: Conv("x", ONE, np.ones((1, 1, 3, 1)), padding=(1, 0)).output_shape((1, 6)) and
         Conv("x", ONE, np.ones((1, 1, 2, 1)), padding=(1, 0)).output_shape((1, 6)), "makes 2 rows of a"),
        (lambda: ConvTranspose("x", ONE, np.ones((3, 1, 2, 2)), groups=2), "3 input channels into 2 groups"),
        (lambda: ConvTranspose("x", ONE, np.ones((1, 1, 2, 2)), padding=(9, 0)).output_shape((1, 3, 3)), "must leave"),
        (lambda: ConvTranspose("x", ONE, np.ones((2, 1, 2, 2))).output_shape((3, 3, 3)), r"maps of shape \(2, h, w\)"),
        (lambda: Linear("x", ONE, np.ones((2, 3))).output_shape((3, 2)), "takes 3 values"),
        (lambda: Recurrent("x", ONE, np.ones((3, 2)), np.ones((2, 1)), None, None, "gru"), "3 rows for each of its 1"),
        (lambda: Recurrent("x", ONE, np.ones((3, 2)), np.ones((3, 1)), None, None, "lru"), "x.kind must be one of"),
        (lambda: Recurrent("x", ONE, np.ones((3, 2)), np.ones((3, 1)), None, None, "gru").output_shape((4, 3)),
         r"sequence of shape \(t, 2\)"),
        (lambda: MaxPool("x", ONE, (2, 2), (1, 1), (0, 0, 2, 0)), "less than the window"),
        (lambda: MaxPool("x", ONE, (1, 2), (1, 1), (0, 1), dilation=(1, 2)).output_shape((1, 1, 1)), "only padding"),
        (lambda: MaxPool("x", ONE, (2, 2), (1, 1), ceil_mode=1), "ceil_mode must be True or False"),
        (lambda: AdaptiveAveragePool("x", ONE, (2, 2)).output_shape((3, 4)), "makes 2 rows"),
        (lambda: AdaptiveMaxPool("x", ONE, (0, 2)), r"x.size\[0\] must be ≥ 1"),
        (lambda: Upsample("x", ONE, (2, 2), "linear"), "x.mode must be one of nearest, bilinear, bicubic"),
        (lambda: Upsample("x", ONE, (2, 2), scale=2.0), "x.scale must be a pair"),
        (lambda: Activation("x", ONE, "swish"), "x.kind must be one of relu6"),
        (lambda: PRelu("x", ONE, [0.1, 0.2]).output_shape((3, 4)), "slopes for 2 channels"),
        (lambda: Clip("x", ONE), "must have a bound"),
        (lambda: Clip("x", ONE, 2.0, 1.0), "low must be at most high"),
        (lambda: Softmax("x", ONE, 2).output_shape((3, 4)), "x.axis is 2"),
        (lambda: Add("x", ONE), "adds two or more inputs"),
        (lambda: Divide("x", ("a", "b", "c")), "divides two inputs"),
        (lambda: Multiply("x", TWO).output_shape((3, 4, 5), (3,)), r"broadcast, got a \(3, 4, 5\), b \(3,\)"),
        (lambda: Affine("x", ONE), "a scale or a shift"),
        (lambda: Affine("x", ONE, [1.0, 2.0]).output_shape((3,)), "do not broadcast against"),
        (lambda: Reduce("x", ONE, "prod", (0,)), "x.kind must be one of sum"),
        (lambda: Reduce("x", ONE, "sum", (0, 0)), "differ from each other"),
        (lambda: Reduce("x", ONE, "sum", (2,)).output_shape((3, 4)), r"reduces axes \(2,\)"),
        (lambda: Reduce("x", ONE, "sum", ()), "1 or more whole numbers"),
        (lambda: MatMul("x", TWO).output_shape((3, 4), (3, 4)), "multiplies matrices"),
        (lambda: Reshape("x", ONE, (2, -1)), "must be ≥ 1"),
        (lambda: Reshape("x", ONE, (2, 2)).output_shape((3,)), "gives 4 values"),
        (lambda: Permute("x", ONE, (0, 0)), "in some order"),
        (lambda: Permute("x", ONE, (1, 0)).output_shape((3,)), "orders 2 axes"),
        (lambda: ChannelShuffle("x", ONE, 2).output_shape((3, 1, 1)), "equally many channels"),
        (lambda: Concat("x", ONE), "joins two or more"),
        (lambda: Concat("x", TWO, 1).output_shape((3, 4), (2, 4)), "differ along axis 1 alone"),
        (lambda: Slice("x", ONE, 0, 1, 3, -1), "which do not exist"),
        (lambda: Slice("x", ONE, 0, 1, 3, 0), "which do not exist"),
        (lambda: Slice("x", ONE, 0, 1, 3).output_shape((3,)), "takes entry 3 along axis 0"),
        (lambda: Gather("x", ONE, 1, (4,)).output_shape((3, 4)), "takes entry 4 along axis 1"),
        (lambda: Pad("x", ONE, (1,), (1, 2)), "1 axes before and 2 after"),
        (lambda: Pad("x", ONE, (3,), (0,), "reflect").output_shape((3,)), "pads 3 values of kind 'reflect'"),
        (lambda: Pad("x", ONE, (3,), (0,)).output_shape((3, 3)), "pads 1 axes"),
        (lambda: Broadcast("x", ONE, (2, 3)).output_shape((2, 2)), "repeats values to"),
        (lambda: BatchNorm("x", ONE, [1.0], [1.0], [1.0], [1.0]).output_shape((2, 3)), "takes 1 channels"),
        (lambda: LayerNorm("x", ONE, [1.0, 1.0], [1.0, 1.0]).output_shape((2, 3)), "last axes of shape"),
        (lambda: LayerNorm("x", ONE, 1.0, 1.0), "must have an axis"),
        (lambda: GroupNorm("x", ONE, 2, np.ones(3), np.ones(3)), "3 channels into 2 groups"),
        (lambda: InstanceNorm("x", ONE, np.ones(3), np.ones(3)).output_shape((3,)), "maps of 3 channels"),
        (lambda: LocalResponseNorm("x", ONE, 3, before=3), "x.before must be from 0 to 2"),
        (lambda: Relu("x", TWO), "takes one input"),
    ],
)  # fmt: skip
def test_layers__refuse_what_cannot_be(call, words):
    with pytest.raises(ParameterError, match=words):
        call()


def test_dynamic_conv__takes_padding_of_each_side(rng):
    layer = next(each for each in example_layers("DynamicConv, softmax") if isinstance(each, DynamicConv))
    held = {
        **{key: getattr(layer, key) for key in ("name", "inputs", "weight", "bias", "stride", "dilation", "groups")}
    }
    one = DynamicConv(**held, padding=(0, 1, 2, 0), attention=layer.attention)
    x = rng.normal(size=(2, 4, 5, 6))
    whole = DynamicConv(**held, padding=(2, 2), attention=layer.attention).apply(x)
    np.testing.assert_allclose(one.apply(x), whole[:, :, 2:, 1:-2], rtol=1e-12)
