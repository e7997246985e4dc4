"""Networks: checks of the graph, exact inference (against torch if it is installed) and the file format."""

import io
import json
import pickle
import zipfile
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.errors import ParameterError
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
    graph,
    load_network,
    read_card,
    save_network,
)
from mapping.networks import file_format as network_file

CLASSES = ("a", "b", "c")


def attention(rng, channels, kernels, kind="softmax", temperature=2.0, bias=True):
    hidden = 3
    return Attention(
        rng.normal(size=(hidden, channels)),
        rng.normal(size=hidden) if bias else None,
        rng.normal(size=(kernels, hidden)),
        rng.normal(size=kernels) if bias else None,
        temperature,
        kind,
    )


def dynamic(rng, name, source, shape, *, kernels=4, groups=1, bias=True, kind="softmax", **geometry):
    c_out, c_in = shape
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)} | geometry
    return DynamicConv(
        name,
        (source,),
        rng.normal(size=(kernels, c_out, c_in // groups, 3, 3)),
        rng.normal(size=(kernels, c_out)) if bias else None,
        groups=groups,
        attention=attention(rng, c_in, kernels, kind, bias=bias),
        **options,
    )


def everything(rng, *, groups=1, stride=(1, 1), dilation=(1, 1), kind="softmax", bias=True, count_padding=True):
    """A small network with every kind of layer in it."""
    norm = [rng.normal(size=4) for _ in range(3)]
    layers = (
        Conv("conv1", ("input",), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4) if bias else None, padding=(1, 1)),
        BatchNorm("norm1", ("conv1",), *norm, rng.uniform(0.1, 2.0, size=4)),
        Relu("relu1", ("norm1",)),
        dynamic(
            rng, "conv2", "relu1", (4, 4), groups=groups, stride=stride, dilation=dilation, kind=kind, bias=bias,
            padding=dilation,
        ),
        Conv("side", ("relu1",), rng.normal(size=(4, 4, 1, 1)), stride=stride),
        Add("add", ("conv2", "side")),
        MaxPool("max", ("add",), (3, 2), (2, 1), (1, 0)),
        AveragePool("mean", ("max",), (2, 2), (1, 1), (1, 1), count_padding),
        dynamic(rng, "conv3", "mean", (5, 4), kernels=2, kind=kind, bias=bias),
        GlobalAveragePool("pool", ("conv3",)),
        Flatten("flat", ("mean",)),
    )  # fmt: skip
    probe = Network("probe", (2, 9, 8), tuple("abcde"), (*layers[:-1],))
    width = int(np.prod(probe.shapes()["mean"]))
    layers += (
        Linear("left", ("pool",), rng.normal(size=(3, 5)), rng.normal(size=3)),
        Linear("right", ("flat",), rng.normal(size=(3, width)) / width),
        Add("both", ("left", "right")),
        Softmax("shares", ("both",)),
    )
    card = {"seed": 3, "note": "ünit ✓", "nested": {"list": [1, 2.5, None, True]}}
    return Network("everything", (2, 9, 8), CLASSES, layers, card)


def one_conv(rng, **changes):
    """conv -> pool -> three classes, with some arguments replaced."""
    values = {"weight": rng.normal(size=(3, 2, 3, 3)), "padding": (1, 1)} | changes
    layers = (Conv("conv", ("input",), **values), GlobalAveragePool("pool", ("conv",)))
    return Network("one", (2, 9, 8), CLASSES, layers)


# exact inference


def torch_forward(torch, network, images):
    """The same network in torch's own functions."""
    f = torch.nn.functional
    tensor = lambda x: None if x is None else torch.tensor(x)  # noqa: E731
    values = {"input": tensor(images)}
    for layer in network.layers:
        x = values[layer.inputs[0]]
        if isinstance(layer, DynamicConv):
            a = layer.attention
            hidden = f.relu(f.linear(x.mean(dim=(2, 3)), tensor(a.weight_1), tensor(a.bias_1)))
            scores = f.linear(hidden, tensor(a.weight_2), tensor(a.bias_2)) / a.temperature
            pi = torch.softmax(scores, 1) if a.kind == "softmax" else torch.sigmoid(scores)
            every = [
                f.conv2d(
                    x, tensor(w), None if layer.bias is None else tensor(layer.bias[k]),
                    layer.stride, layer.padding, layer.dilation, layer.groups,
                )
                for k, w in enumerate(layer.weight)
            ]  # fmt: skip
            y = sum(pi[:, k, None, None, None] * one for k, one in enumerate(every))
            values[f"{layer.name}.attention"] = pi
        elif isinstance(layer, Conv):
            geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
            y = f.conv2d(x, tensor(layer.weight), tensor(layer.bias), *geometry)
        elif isinstance(layer, BatchNorm):
            held = (layer.mean, layer.variance, layer.gamma, layer.beta)
            y = f.batch_norm(x, *map(tensor, held), eps=layer.epsilon)
        elif isinstance(layer, Linear):
            y = f.linear(x, tensor(layer.weight), tensor(layer.bias))
        elif isinstance(layer, MaxPool):
            y = f.max_pool2d(x, layer.size, layer.stride, layer.padding)
        elif isinstance(layer, AveragePool):
            y = f.avg_pool2d(x, layer.size, layer.stride, layer.padding, count_include_pad=layer.count_padding)
        elif isinstance(layer, Add):
            y = sum(values[source] for source in layer.inputs)
        else:
            y = {
                Relu: f.relu,
                GlobalAveragePool: lambda x: x.mean(dim=(2, 3)),
                Flatten: lambda x: x.flatten(1),
                Softmax: lambda x: f.softmax(x, 1),
            }[type(layer)](x)
        values[layer.name] = y
    return {name: value.numpy() for name, value in values.items()}


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**31),
    groups=st.sampled_from([1, 2, 4]),
    stride=st.sampled_from([(1, 1), (2, 1), (2, 3)]),
    dilation=st.sampled_from([(1, 1), (2, 2)]),
    kind=st.sampled_from(["softmax", "sigmoid"]),
    bias=st.booleans(),
    count_padding=st.booleans(),
)
def test_activations__equal_torch(seed, **options):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    network = everything(rng, **options)
    images = rng.normal(size=(3, 2, 9, 8))
    expected = torch_forward(torch, network, images)
    ours = network.activations(images)
    assert set(ours) == set(expected)
    for name, value in ours.items():
        # float64 on both sides; sums of a hundred products of order 10
        np.testing.assert_allclose(value, expected[name], rtol=1e-10, atol=1e-10, err_msg=name)


def test_forward__is_the_last_activation_and_does_not_depend_on_the_batch(rng, monkeypatch):
    network = everything(rng)
    images = rng.normal(size=(7, 2, 9, 8))
    whole = network.forward(images)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(network.activations(images)["shares"], whole, rtol=1e-13)
    alone = [network.forward(images[i : i + 1]) for i in range(7)]
    np.testing.assert_allclose(np.concatenate(alone), whole, rtol=1e-12)
    monkeypatch.setattr(graph, "_CHUNK_BYTES", 1)  # one image at a time
    np.testing.assert_allclose(network.forward(images), whole, rtol=1e-12)
    assert network.activations(images)["conv2.attention"].shape == (7, 4)


def test_forward__takes_shares_instead_of_its_own(rng, monkeypatch):
    network = everything(rng)
    images = rng.normal(size=(7, 2, 9, 8))
    own = network.activations(images)["conv2.attention"]
    whole = network.forward(images)
    np.testing.assert_allclose(network.forward(images, attention={"conv2": own}), whole, rtol=1e-13)
    monkeypatch.setattr(graph, "_CHUNK_BYTES", 1)  # each image still gets its own
    np.testing.assert_allclose(network.forward(images, attention={"conv2": own}), whole, rtol=1e-12)
    others = network.forward(images, attention={"conv2": own[::-1]})
    assert not np.allclose(others, whole, rtol=1e-3, atol=0.0)
    with pytest.raises(ParameterError, match=r"attention\['conv2'\] must have shape \(7, 4\)"):
        network.forward(images, attention={"conv2": own[:-1]})


def test_forward__of_no_images_is_empty(rng):
    assert everything(rng).forward(np.zeros((0, 2, 9, 8))).shape == (0, 3)


def test_shapes__are_those_of_the_activations(rng):
    network = everything(rng, stride=(2, 1))
    values = network.activations(rng.normal(size=(2, 2, 9, 8)))
    assert network.shapes() == {name: values[name].shape[1:] for name in network.shapes()}
    assert list(network.shapes()) == ["input", *(layer.name for layer in network.layers)]


def test_dynamic_conv__with_equal_kernels_is_a_static_one(rng):
    layer = dynamic(rng, "d", "input", (4, 3))
    same = DynamicConv(
        "d", ("input",), np.repeat(layer.weight[:1], 4, axis=0), np.repeat(layer.bias[:1], 4, axis=0),
        (1, 1), (1, 1), (1, 1), 1, layer.attention,
    )  # fmt: skip
    static = Conv("s", ("input",), layer.weight[0], layer.bias[0], padding=(1, 1))
    x = rng.normal(size=(3, 3, 6, 6))
    np.testing.assert_allclose(same.apply(x), static.apply(x), rtol=1e-12, atol=1e-12)


def test_dynamic_conv__is_linear_in_its_shares(rng):
    layer = dynamic(rng, "d", "input", (4, 6), groups=2)
    x = rng.normal(size=(2, 6, 5, 5))
    p, q = rng.uniform(size=(2, 2, 4))
    both = layer.convolve(x, 0.25 * p + 0.75 * q)
    np.testing.assert_allclose(both, 0.25 * layer.convolve(x, p) + 0.75 * layer.convolve(x, q), rtol=1e-11, atol=1e-12)
    for k, one in enumerate(np.eye(4)):
        alone = Conv("s", ("input",), layer.weight[k], layer.bias[k], padding=(1, 1), groups=2)
        np.testing.assert_allclose(layer.convolve(x, np.array([one, one])), alone.apply(x), rtol=1e-12, atol=1e-12)


def test_attention__shares_differ_between_images_and_sum_to_one(rng):
    shares = attention(rng, 5, 4).shares(rng.normal(size=(6, 5, 4, 4)))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-14)
    assert np.ptp(shares, axis=0).min() > 1e-3


# values


def test_layers__hold_read_only_copies(rng):
    weight = rng.normal(size=(3, 2, 3, 3))
    layer = Conv("conv", ("input",), weight)
    kept = weight[0, 0, 0, 0]
    weight[0, 0, 0, 0] = 9.0
    assert layer.weight[0, 0, 0, 0] == kept
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0] = 0.0
    with pytest.raises(FrozenInstanceError):
        layer.stride = (2, 2)


def test_layer__is_found_by_name_and_shown_briefly(rng):
    network = everything(rng)
    assert network.layer("conv2") is network.layers[3]
    assert "weight=<(4, 4, 4, 3, 3)>" in repr(network.layer("conv2"))
    with pytest.raises(ParameterError, match="has no layer 'conv9'; its layers are conv1, norm1"):
        network.layer("conv9")


def test_parameters__counts_every_stored_number(rng):
    assert one_conv(rng).parameters == 54
    assert one_conv(rng, bias=np.zeros(3)).parameters == 57


# bad input


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight": np.full((3, 2, 3, 3), np.nan)}, r"conv\.weight must hold no nan.*\(54 of 54\)"),
        ({"bias": np.array([0.0, np.inf, 1.0])}, r"conv\.bias must be finite.*\(1 of 3\)"),
        ({"bias": np.zeros(2)}, r"conv\.bias must have shape \(3\), got \(2,\)"),
        ({"weight": np.zeros((3, 2, 3))}, r"conv\.weight must have shape"),
        ({"weight": np.zeros((3, 2, 0, 3))}, r"conv\.weight must not be empty"),
        ({"weight": np.zeros((3, 2, 3, 3)) > 0}, r"conv\.weight must be an array of real numbers"),
        ({"weight": np.zeros((3, 4, 3, 3))}, r"conv takes maps of shape \(4, h, w\), but input gives \(2, 9, 8\)"),
        ({"weight": np.zeros((3, 2, 12, 3))}, r"conv: a window of \(12, 3\) pixels"),
        ({"groups": 2}, "conv splits 3 output channels into 2 groups"),
        ({"groups": 1.0}, r"conv\.groups must be a whole number"),
        ({"stride": (0, 1)}, r"conv\.stride\[0\] must be ≥ 1"),
        ({"padding": 1}, r"conv\.padding must be a pair"),
        ({"dilation": (1, -2)}, r"conv\.dilation\[1\] must be ≥ 1"),
    ],
)
def test_conv__refuses_what_cannot_be(rng, changes, words):
    with pytest.raises(ParameterError, match=words):
        one_conv(rng, **changes)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda _: Relu("input", ("input",)), "cannot be called 'input'"),
        (lambda _: Relu("x.attention", ("input",)), "cannot be called"),
        (lambda _: Relu("", ("input",)), "letters, digits"),
        (lambda _: Relu("a b", ("input",)), "letters, digits"),
        (lambda _: Relu("r", "input"), r"r\.inputs must be texts"),
        (lambda _: Relu("r", ("input", "input")), "r takes one input"),
        (lambda _: Add("sum", ("input",)), "two or more"),
        (lambda _: MaxPool("m", ("input",), (2, 2), (2, 2), (2, 0)), "less than the window"),
        (lambda _: AveragePool("m", ("input",), (2, 2), (2, 2), (0, 0), 1), "count_padding must be True or False"),
        (lambda _: BatchNorm("n", ("input",), *np.zeros((3, 2)), np.array([1.0, -1e-9])), r"n\.variance must be ≥ 0"),
        (lambda _: BatchNorm("n", ("input",), *np.ones((4, 2)), epsilon=0.0), r"n\.epsilon must be > 0"),
        (lambda _: Attention(np.zeros((3, 2)), None, np.zeros((4, 2)), None), r"weight_2 must have shape \(any, 3\)"),
        (lambda _: Attention(np.zeros((3, 2)), None, np.zeros((4, 3)), None, 0.0), "temperature must be > 0"),
        (lambda _: Attention(np.zeros((3, 2)), None, np.zeros((4, 3)), None, 1.0, "max"), "'softmax' or 'sigmoid'"),
        (
            lambda rng: DynamicConv(
                "d", ("input",), np.zeros((3, 2, 2, 3, 3)), None, (1, 1), (1, 1), (1, 1), 1, attention(rng, 2, 4)
            ),
            "d has 3 kernels and 2 input channels, but its attention 4 and 2",
        ),
    ],
)
def test_layers__refuse_what_cannot_be(rng, layer, words):
    with pytest.raises(ParameterError, match=words):
        layer(rng)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((), "must be one or more layers"),
        (("pool",), "must be one or more layers"),
        ((GlobalAveragePool("p", ("missing",)),), "p takes 'missing', but no layer before it"),
        ((Relu("r", ("input",)), Relu("r", ("r",))), "two layers of n are called 'r'"),
        ((Relu("r", ("input",)), GlobalAveragePool("p", ("input",))), "nothing takes the output of 'r'"),
        ((GlobalAveragePool("p", ("input",)), Relu("r", ("p",))), r"each of the 3 classes, but r gives \(2,\)"),
        ((Linear("l", ("input",), np.zeros((3, 2))),), r"l takes 2 values, but input gives \(2, 9, 8\)"),
        ((BatchNorm("b", ("input",), *np.ones((4, 3))),), r"b takes 3 channels, but input gives \(2, 9, 8\)"),
        ((MaxPool("m", ("input",), (10, 2), (2, 2)),), r"m: a window of \(10, 2\)"),
        (
            (GlobalAveragePool("p", ("input",)), Add("s", ("p", "input"))),
            r"s adds inputs of one shape, or of shapes that broadcast, got p \(2,\), input \(2, 9, 8\)",
        ),
    ],
)
def test_network__refuses_impossible_graphs(layers, words):
    with pytest.raises(ParameterError, match=words):
        Network("n", (2, 9, 8), CLASSES, layers)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "name"),
        ({"input_shape": (2, 9)}, "input_shape must be"),
        ({"input_shape": (2, 0, 8)}, r"input_shape\[1\] must be ≥ 1"),
        ({"classes": "abc"}, "classes must be texts"),
        ({"classes": ("a", "b", "a")}, "differ from each other"),
        ({"classes": ("a", "b")}, "each of the 2 classes"),
        ({"card": {"accuracy": float("nan")}}, "plain JSON"),
        ({"card": {"array": np.zeros(2)}}, "plain JSON"),
        ({"card": [1]}, "must be a dict"),
    ],
)
def test_network__refuses_bad_descriptions(rng, changes, words):
    network = one_conv(rng)
    values = {f.name: getattr(network, f.name) for f in fields(network) if f.init}
    with pytest.raises(ParameterError, match=words):
        Network(**(values | changes))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 2, 8, 9)), r"images must have shape \(any, 2, 9, 8\)"),
        (np.zeros((2, 9, 8)), "images must have shape"),
        (np.full((1, 2, 9, 8), np.nan), "images must hold no nan"),
    ],
)
def test_forward__refuses_bad_images(rng, images, words):
    with pytest.raises(ParameterError, match=words):
        one_conv(rng).forward(images)


# files


def arrays_of(network):
    for layer in network.layers:
        for holder in (layer, getattr(layer, "attention", None)):
            if holder is not None:
                for name in holder.arrays:
                    yield getattr(holder, name)


def equal(one, other):
    """The same network, bit for bit."""
    first, second = list(arrays_of(one)), list(arrays_of(other))
    bits = all((a is None) == (b is None) for a, b in zip(first, second, strict=True)) and all(
        a.tobytes() == b.tobytes() and a.shape == b.shape for a, b in zip(first, second, strict=True) if a is not None
    )
    return bits and repr(one) == repr(other)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_file__comes_back_bit_for_bit(rng, tmp_path, single, kind):
    network = everything(rng, kind=kind, groups=2, bias=single, count_padding=single)
    if single:
        weight = network.layers[0].weight.astype(np.float32).astype(np.float64)
        weight[0, 0, 0] = [-0.0, np.float32(1e-42), 0.0]  # the sign of zero and a denormal survive
        first = Conv("conv1", ("input",), weight, padding=(1, 1))
        network = Network("everything", (2, 9, 8), CLASSES, (first, *network.layers[1:]), network.card)
    path = tmp_path / "network.npz"
    save_network(network, path)
    loaded = load_network(path)
    assert equal(network, loaded)
    assert loaded.card == network.card == read_card(path)
    images = rng.normal(size=(2, 2, 9, 8))
    np.testing.assert_array_equal(loaded.forward(images), network.forward(images))
    with np.load(path) as held:
        assert held["0.weight"].dtype == (np.float32 if single else np.float64)
    before = path.read_bytes()
    save_network(loaded, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["network.npz"]


def test_file__codes_take_one_byte_each_and_come_back_bit_for_bit(rng, tmp_path):
    codes = rng.integers(-127, 128, size=(9, 16, 3, 3))  # 1296 values
    codes[0, 0, 0, 0] = -127
    scale = float(np.float32(0.0123))
    near = np.resize(codes, (13, 9, 3, 3)) * scale
    near[1, 1, 1, 1] += 1e-9  # one value off: the whole array is stored as numbers
    layers = (
        Conv("codes", ("input",), codes * scale),
        Conv("near", ("codes",), near),
        Conv("few", ("near",), np.ones((3, 13, 1, 1))),
        GlobalAveragePool("pool", ("few",)),
    )
    path = tmp_path / "network.npz"
    network = Network("coded", (16, 9, 9), CLASSES, layers)
    save_network(network, path)
    assert equal(network, load_network(path))
    with np.load(path) as held:
        assert [held[f"{n}.weight"].dtype for n in range(3)] == [np.int8, np.float64, np.float32]
        assert float(held["0.weight.scale"]) == scale
    held = parts(path)
    del held["0.weight.scale.npy"]
    rewrite(path, held)
    with pytest.raises(ParameterError, match=r"the array 0\.weight\.scale is missing"):
        load_network(path)


def test_save__that_fails_leaves_the_old_file_and_no_other(rng, tmp_path, monkeypatch):
    path = tmp_path / "network.npz"
    save_network(one_conv(rng), path)
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(network_file.np, "savez", full)
    with pytest.raises(OSError, match="disk full"):
        save_network(everything(rng), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_network__survives_pickling_between_processes(rng):
    network = everything(rng)
    assert equal(network, pickle.loads(pickle.dumps(network)))


def parts(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **options)
    return buffer.getvalue()


def with_header(members, change):
    header = json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes())
    change(header)
    return members | {"header.npy": npy(np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))}


class Bomb:
    """Loading it as a pickle would end the test run."""

    def __reduce__(self):
        return (SystemExit, (99,))


DAMAGES = {
    "another array type": (lambda m: m | {"0.weight.npy": npy(np.zeros((4, 2, 3, 3), dtype=np.int32))}, "int32"),
    "another shape": (lambda m: m | {"0.weight.npy": npy(np.zeros((4, 2, 3, 4)))}, r"0\.weight has shape"),
    "an array missing": (lambda m: {k: v for k, v in m.items() if k != "1.gamma.npy"}, r"1\.gamma is missing"),
    "an array too short": (lambda m: m | {"0.weight.npy": m["0.weight.npy"][:-8]}, r"0\.weight is not \d+ bytes"),
    "an array too long": (lambda m: m | {"0.weight.npy": m["0.weight.npy"] + b"12345678"}, r"0\.weight is not"),
    "not an array": (lambda m: m | {"0.weight.npy": b"hello"}, "magic"),
    "fortran order": (lambda m: m | {"0.weight.npy": npy(np.asfortranarray(np.ones((4, 2, 3, 3))))}, "Fortran"),
    "a nan": (lambda m: m | {"0.weight.npy": npy(np.full((4, 2, 3, 3), np.nan))}, r"conv1\.weight must hold no nan"),
    "a nan in attention": (
        lambda m: m | {"3.attention.bias_2.npy": npy(np.full(4, np.nan))},
        r"conv2\.attention\.bias_2 must hold no nan.*\(4 of 4\)",
    ),
    "a pickled array": (
        lambda m: m | {"0.weight.npy": npy(np.array([Bomb()], dtype=object), allow_pickle=True)},
        "must be float32, float64 or int8, got object",
    ),
    "a pickled header": (
        lambda m: m | {"header.npy": npy(np.array([Bomb()], dtype=object), allow_pickle=True)},
        "not text",
    ),
    "no header": (lambda m: {k: v for k, v in m.items() if k != "header.npy"}, "no header"),
    "a header that is no JSON": (
        lambda m: m | {"header.npy": npy(np.frombuffer(b"{nonsense", dtype=np.uint8))},
        "property name",
    ),
    "a later version": (lambda m: with_header(m, lambda h: h.update(version=2)), "format version is 2"),
    "another format": (lambda m: with_header(m, lambda h: h.update(format="onnx")), "not that of a network file"),
    "no layers": (lambda m: with_header(m, lambda h: h.pop("layers")), "'layers' in its header is missing"),
    "layers of another kind": (lambda m: with_header(m, lambda h: h.update(layers=[3])), "layer 0 is of no known kind"),
    "an unknown layer": (lambda m: with_header(m, lambda h: h["layers"][0].update({"class": "Gru"})), "no known kind"),
    "a field too many": (lambda m: with_header(m, lambda h: h["layers"][0].update(colour=1)), "must have the fields"),
    "a field too few": (lambda m: with_header(m, lambda h: h["layers"][0].pop("stride")), "must have the fields"),
    "a stride of text": (lambda m: with_header(m, lambda h: h["layers"][0].update(stride="ab")), "stride must be"),
    "a wrong graph": (lambda m: with_header(m, lambda h: h["layers"][0].update(inputs=["x"])), "takes 'x'"),
    "no attention": (lambda m: with_header(m, lambda h: h["layers"][3].update(attention=1)), "has no attention"),
    "a shape of text": (lambda m: with_header(m, lambda h: h["layers"][0].update(weight="big")), "the header says big"),
    "classes of numbers": (lambda m: with_header(m, lambda h: h.update(classes=[1, 2, 3])), "classes must be texts"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_load__says_in_one_sentence_what_is_wrong(rng, tmp_path, damage):
    path = tmp_path / "network.npz"
    save_network(everything(rng), path)
    change, words = DAMAGES[damage]
    rewrite(path, change(parts(path)))
    with pytest.raises(ParameterError, match=words) as caught:
        load_network(path)
    assert str(caught.value).startswith(f"{path} is not a sound network file: ")
    assert "\n" not in str(caught.value)


def test_load__of_a_file_cut_anywhere_is_a_parameter_error(rng, tmp_path):
    path = tmp_path / "network.npz"
    save_network(everything(rng), path)
    data = path.read_bytes()
    for end in range(0, len(data), 397):
        path.write_bytes(data[:end])
        with pytest.raises(ParameterError, match="not a sound network file"):
            load_network(path)


def test_load__of_a_file_with_any_byte_changed_is_sound_or_a_parameter_error(rng, tmp_path):
    path = tmp_path / "network.npz"
    network = one_conv(rng)
    save_network(network, path)
    data = path.read_bytes()
    damaged = 0
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            loaded = load_network(path)
        except ParameterError:
            damaged += 1
        else:  # a byte that says nothing, as a time stamp
            assert equal(network, loaded)
    assert damaged > len(data) / 7 / 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"hello" * 100])
def test_load__of_a_foreign_file(tmp_path, content):
    path = tmp_path / "foreign.npz"
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=r"foreign\.npz is not a sound network file: "):
        load_network(path)


def test_load__of_another_npz_or_of_nothing(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(ParameterError, match="no header"):
        load_network(tmp_path / "other.npz")
    with pytest.raises(ParameterError, match=r"there is no network file .*none\.npz"):
        load_network(tmp_path / "none.npz")
    with pytest.raises(ParameterError, match="not a sound network file"):
        load_network(tmp_path)


def test_load__refuses_to_unpack_more_than_its_limits(rng, tmp_path, monkeypatch):
    path = tmp_path / "network.npz"
    save_network(one_conv(rng), path)
    monkeypatch.setattr(network_file, "_LARGEST_HEADER", 10)
    with pytest.raises(ParameterError, match="header is larger"):
        load_network(path)
    monkeypatch.undo()
    monkeypatch.setattr(network_file, "_LARGEST_FILE", 10)
    with pytest.raises(ParameterError, match="unpack to more"):
        load_network(path)
