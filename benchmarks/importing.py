"""What comes in: random ONNX graphs, the onnx package's own suites, timm, torchvision; large networks on a chip.

    python -m benchmarks.importing graphs --count 2000
    python -m benchmarks.importing nodes
    python -m benchmarks.importing shipped
    python -m benchmarks.importing timm [NAMES …]
    python -m benchmarks.importing torchvision
    python -m benchmarks.importing chip resnet18 --side 224

Prints a table each. "right" is within 1e-5 of the largest output of the original's own runtime, or within twenty
times what a change of the image by one step of float32 does to that (2e-5 for node tests; 1e-2 in half precision).
"refused" is one sentence that names the node; anything else is wrong or a crash. Needs the extras torch and onnx;
timm and torchvision for their own tables.
"""

import argparse
import collections
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from devices.errors import ParameterError
from mapping import compile_network, import_onnx, import_torch, load_hardware, run, write

RIGHT = 1e-5  # of the largest output

TIMM = [
    "convnext_atto",
    "convnextv2_atto",
    "bat_resnext26ts",
    "botnet26t_256",
    "coatnet_pico_rw_224",
    "cs3darknet_focus_s",
    "cspresnet50",
    "cspdarknet53",
    "darknet17",
    "densenet121",
    "dla46_c",
    "dpn48b",
    "eca_botnext26ts_256",
    "ecaresnet26t",
    "edgenext_xx_small",
    "efficientformer_l1",
    "efficientnet_b0",
    "efficientnetv2_rw_t",
    "tf_efficientnet_cc_b0_4e",
    "ese_vovnet19b_dw",
    "fastvit_t8",
    "fbnetc_100",
    "focalnet_tiny_srf",
    "gernet_s",
    "ghostnet_100",
    "ghostnetv2_100",
    "ghostnetv3_100",
    "halonet26t",
    "hardcorenas_a",
    "hgnet_tiny",
    "hgnetv2_b0",
    "hrnet_w18_small",
    "inception_next_tiny",
    "inception_v3",
    "inception_v4",
    "lambda_resnet26t",
    "lcnet_050",
    "mambaout_femto",
    "mixnet_s",
    "mnasnet_small",
    "mobilenetv1_100",
    "mobilenetv2_050",
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "mobileone_s0",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "mobilenet_edgetpu_v2_xs",
    "nf_resnet26",
    "nfnet_f0",
    "poolformer_s12",
    "regnetx_002",
    "regnety_002",
    "regnetz_b16",
    "rdnet_tiny",
    "repghostnet_050",
    "repvgg_a0",
    "repvit_m0_9",
    "res2net50_14w_8s",
    "res2next50",
    "resnest14d",
    "resnet18",
    "resnet26t",
    "resnetblur50",
    "resnetrs50",
    "resnetv2_50",
    "resnext26ts",
    "rexnet_100",
    "rexnetr_100",
    "sebotnet33ts_256",
    "sehalonet33ts",
    "selecsls42",
    "semnasnet_050",
    "seresnet18",
    "skresnet18",
    "spnasnet_100",
    "starnet_s1",
    "swiftformer_xs",
    "tinynet_e",
    "tresnet_m",
    "vgg11",
    "vgg11_bn",
    "vovnet39a",
    "wide_resnet50_2",
    "xception41",
]
"""One name of each family of timm 1.0 with convolutions, a small one where there is a choice."""

TORCHVISION = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg16_bn",
    "wide_resnet50_2",
]
"""The families of torchvision's classification networks without transformers."""


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["graphs", "nodes", "shipped", "timm", "torchvision", "chip"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first random graph")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--chip", default="adaptive2d")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    bad = {
        "graphs": lambda: graphs(given.count, given.first),
        "nodes": nodes,
        "shipped": shipped,
        "timm": lambda: modules(_timm, given.names or TIMM, given.side),
        "torchvision": lambda: modules(_torchvision, given.names or TORCHVISION, given.side),
        "chip": lambda: on_chip(given.names, given.side, given.chip),
    }[given.what]()
    sys.exit(int(bad > 0))


def judged(found: Callable[[], np.ndarray], wanted: np.ndarray, allowed: float) -> tuple[str, str]:
    """Kind of what an import gave, and a word on it."""
    try:
        ours = found()
    except ParameterError as error:
        return "refused", str(error).partition("imported: ")[2] or str(error)
    except Exception as error:  # noqa: BLE001  (a crash is what is looked for)
        return "CRASH", f"{type(error).__name__}: {error}"
    if ours.size != wanted.size:
        return "WRONG", f"{ours.size} values for {wanted.size}"
    known = np.isfinite(wanted.ravel())
    if not np.array_equal(known, np.isfinite(ours.ravel())):
        return "WRONG", "other values are not finite"
    largest = float(np.abs(wanted.ravel()[known]).max(initial=0.0)) or 1.0
    off = float(np.abs(ours.ravel() - wanted.ravel())[known].max(initial=0.0)) / largest
    return ("right" if off <= allowed else "WRONG"), f"{off:.1e}"


# random graphs


class Drawn:
    """A random graph of ONNX: a few operators on one image, with shapes that onnxruntime may or may not take."""

    def __init__(self, seed: int) -> None:
        from onnx import helper

        self.rng, self.helper = np.random.default_rng(seed), helper
        self.nodes: list[Any] = []
        self.held: list[Any] = []
        self.shape = (1, int(self.rng.integers(1, 5)), *(int(n) for n in self.rng.integers(3, 9, 2)))
        self.shapes: dict[str, tuple[int, ...]] = {"x": self.shape}
        self.opset = int(self.rng.choice([9, 11, 12, 13, 15, 17, 18, 21]))

    def constant(self, value: object, kind: type = np.float32) -> str:
        """Store an array."""
        from onnx import numpy_helper

        name = f"c{len(self.held)}"
        self.held.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def normal(self, *shape: int) -> str:
        """Store normal numbers."""
        return self.constant(self.rng.normal(size=shape))

    def node(self, kind: str, *inputs: str, shape: tuple[int, ...], **attributes: object) -> str:
        """Add a node with one output of a shape."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], f"{kind}_{len(self.nodes)}", **attributes))
        self.shapes[name] = shape
        return name

    def axes(self, values: list[int]) -> tuple[list[str], dict[str, object]]:
        """Axes of squeezes and sums, as an input from opset 13 on."""
        return ([self.constant(values, np.int64)], {}) if self.opset >= 13 else ([], {"axes": values})

    def pick(self, *values: Any) -> Any:
        """One of some values."""
        return values[int(self.rng.integers(len(values)))]

    def earlier(self) -> str:
        """A tensor that is there."""
        names = list(self.shapes)
        return names[int(self.rng.integers(max(0, len(names) - 4), len(names)))]

    def grow(self) -> None:
        """Add one operator to the last tensors."""
        step = self.pick(
            self.conv, self.pool, self.activation, self.activation, self.two, self.two, self.scaled, self.reduced,
            self.reshaped, self.permuted, self.joined, self.cut, self.padded, self.softmax, self.matrix, self.norm,
            self.gated, self.resized, self.dynamic,
        )  # fmt: skip
        step(self.earlier())

    def conv(self, x: str) -> None:
        shape = self.shapes[x]
        if len(shape) not in (3, 4) or shape[0] != 1:
            return
        axes, c = len(shape) - 2, shape[1]
        kernel = [int(n) for n in self.rng.integers(1, 4, axes)]
        groups = self.pick(1, 1, c)
        out = groups * int(self.rng.integers(1, 4))
        attributes: dict[str, object] = {
            "strides": [int(n) for n in self.rng.integers(1, 3, axes)], "group": groups,
            "dilations": [int(n) for n in self.rng.integers(1, 3, axes)],
        }  # fmt: skip
        if self.rng.random() < 0.3:
            attributes["auto_pad"] = self.pick("SAME_UPPER", "SAME_LOWER", "VALID")
        else:
            attributes["pads"] = [int(n) for n in self.rng.integers(0, 3, 2 * axes)]
        bias = [self.normal(out)] if self.rng.random() < 0.5 else []
        if self.rng.random() < 0.2:
            attributes.pop("auto_pad", None)
            self.node(
                "ConvTranspose", x, self.normal(c, out // groups, *kernel), *bias, shape=(0,), **attributes
            )  # fmt: skip
        else:
            self.node("Conv", x, self.normal(out, c // groups, *kernel), *bias, shape=(0,), **attributes)

    def pool(self, x: str) -> None:
        shape = self.shapes[x]
        if len(shape) not in (3, 4) or shape[0] != 1:
            return
        axes = len(shape) - 2
        if self.rng.random() < 0.2:
            self.node(self.pick("GlobalAveragePool", "GlobalMaxPool"), x, shape=(0,))
            return
        kernel = [int(n) for n in self.rng.integers(1, 4, axes)]
        attributes: dict[str, object] = {
            "kernel_shape": kernel, "strides": [int(n) for n in self.rng.integers(1, 4, axes)],
            "pads": [int(self.rng.integers(0, k)) for k in kernel * 2],
        }  # fmt: skip
        kind = self.pick("MaxPool", "AveragePool")
        if self.opset >= 11 and self.rng.random() < 0.4:
            attributes["ceil_mode"] = 1
        if kind == "AveragePool":
            attributes["count_include_pad"] = int(self.rng.integers(2))
        self.node(kind, x, shape=(0,), **attributes)

    def activation(self, x: str) -> None:
        kind = self.pick(
            "Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSigmoid", "Erf", "Exp",
            "Abs", "Neg", "Floor", "Ceil", "Clip", "PRelu", "Sqrt", "HardSwish", "Mish", "Celu",
            "ThresholdedRelu", "Sign", "Round", "Sin",
        )  # fmt: skip
        attributes: dict[str, object] = {}
        if kind in ("LeakyRelu", "Elu", "HardSigmoid", "Celu") and self.rng.random() < 0.5:
            attributes["alpha"] = float(self.rng.uniform(0.1, 1.0))
        inputs = [x]
        if kind == "PRelu":
            shape = self.shapes[x]
            inputs.append(self.normal(*(shape[i] if self.rng.random() < 0.4 else 1 for i in range(1, len(shape)))))
        if kind == "Sqrt":
            inputs = [self.node("Abs", x, shape=(0,))]
        if kind == "Clip":
            low, high = sorted(self.rng.normal(size=2).tolist())
            if self.opset >= 11:
                inputs += [self.constant(low), self.pick("", self.constant(high))]
            else:
                attributes |= {"min": low, "max": high}
        self.node(kind, *inputs, shape=(0,), **attributes)

    def two(self, x: str) -> None:
        """Combine with another tensor, or with a constant that numpy's rule may broadcast."""
        kind = self.pick("Add", "Sub", "Mul", "Div", "Max", "Min", "Add", "Mul")
        if self.rng.random() < 0.5:
            other = self.earlier()
        else:
            shape = self.shapes[x]
            kept = shape[int(self.rng.integers(0, len(shape) + 1)) :]
            other = self.normal(*(n if self.rng.random() < 0.5 else 1 for n in kept))
        if kind == "Div":  # away from 0
            size = self.node("Abs", other, shape=self.shapes.get(other, (0,)))
            other = self.node("Add", size, self.constant(0.5), shape=(0,))
        pair = (x, other) if self.rng.random() < 0.7 else (other, x)
        self.node(kind, *pair, shape=(0,))

    def scaled(self, x: str) -> None:
        self.node("Mul", x, self.node("Sigmoid", self.earlier(), shape=(0,)), shape=(0,))

    def gated(self, x: str) -> None:
        """Squeeze and excitation, with or without the axes that make it one."""
        shape = self.shapes[x]
        if len(shape) != 4 or shape[0] != 1:
            return
        pooled = self.node("GlobalAveragePool", x, shape=(1, shape[1], 1, 1))
        if self.rng.random() < 0.5:
            gate = self.node("Conv", pooled, self.normal(shape[1], shape[1], 1, 1), shape=(1, shape[1], 1, 1))
        else:
            row = self.node("Flatten", pooled, shape=(1, shape[1]))
            gate = self.node("MatMul", row, self.normal(shape[1], shape[1]), shape=(1, shape[1]))
            if self.rng.random() < 0.6:
                gate = self.node(
                    "Reshape", gate, self.constant([1, shape[1], 1, 1], np.int64), shape=(1, shape[1], 1, 1)
                )
        self.node("Mul", x, self.node("HardSigmoid", gate, shape=self.shapes[gate]), shape=(0,))

    def dynamic(self, x: str) -> None:
        """A convolution whose kernel is mixed for the image."""
        shape = self.shapes[x]
        if len(shape) != 4 or shape[0] != 1 or min(shape[2:]) < 3:
            return
        c, k, out = shape[1], int(self.rng.integers(2, 4)), int(self.rng.integers(1, 4))
        pooled = self.node("GlobalAveragePool", x, shape=(1, c, 1, 1))
        hidden = self.node("MatMul", self.node("Flatten", pooled, shape=(1, c)), self.normal(c, 4), shape=(1, 4))
        if self.rng.random() < 0.7:
            hidden = self.node(self.pick("Relu", "Relu", "Tanh"), hidden, shape=(1, 4))
        scores = self.node("MatMul", hidden, self.normal(4, k), shape=(1, k))
        kind = self.pick("Softmax", "Sigmoid", "Tanh")
        shares = self.node(kind, scores, shape=(1, k), **({"axis": 1} if kind == "Softmax" else {}))
        flat = self.node("MatMul", shares, self.normal(k, out * c * 9), shape=(1, out * c * 9))
        kernel = self.node("Reshape", flat, self.constant([out, c, 3, 3], np.int64), shape=(out, c, 3, 3))
        self.node("Conv", x, kernel, shape=(0,), pads=[1, 1, 1, 1])

    def reduced(self, x: str) -> None:
        rank = len(self.shapes[x])
        count = int(self.rng.integers(1, rank)) if rank > 1 else 1
        axes = sorted(int(n) for n in self.rng.choice(np.arange(1 if rank > 1 else 0, rank), count, replace=False))
        kind = self.pick("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2")
        inside = self.opset >= (13 if kind == "ReduceSum" else 18)
        more, attributes = ([self.constant(axes, np.int64)], {}) if inside else ([], {"axes": axes})
        self.node(kind, x, *more, shape=(0,), keepdims=int(self.rng.integers(2)), **attributes)

    def reshaped(self, x: str) -> None:
        shape = self.shapes[x]
        total = int(np.prod(shape))
        kind = int(self.rng.integers(4))
        if kind == 0:
            self.node("Flatten", x, shape=(0,), axis=int(self.rng.integers(0, len(shape) + 1)))
        elif kind == 1:
            first = self.pick(*[n for n in range(1, 9) if total % n == 0])
            self.node("Reshape", x, self.constant([1, first, -1], np.int64), shape=(0,))
        elif kind == 2:
            more, attributes = self.axes([int(self.rng.integers(0, len(shape) + 1))])
            self.node("Unsqueeze", x, *more, shape=(0,), **attributes)
        elif len(shape) == 4:
            self.node("Reshape", x, self.constant([0, shape[1], shape[3], shape[2]], np.int64), shape=(0,))

    def permuted(self, x: str) -> None:
        order = [int(n) for n in self.rng.permutation(len(self.shapes[x]))]
        if self.rng.random() < 0.7:
            order = [0, *[n for n in order if n]]
        self.node("Transpose", x, shape=(0,), perm=order)

    def joined(self, x: str) -> None:
        axis = int(self.rng.integers(-1, len(self.shapes[x])))
        self.node(
            "Concat",
            *[self.pick(x, x, self.earlier()) for _ in range(int(self.rng.integers(2, 4)))],
            shape=(0,),
            axis=axis,
        )

    def cut(self, x: str) -> None:
        shape = self.shapes[x]
        axis = int(self.rng.integers(len(shape)))
        if self.opset >= 10:
            step = self.pick(1, 1, 2, -1)
            start, stop = (int(n) for n in np.sort(self.rng.integers(-shape[axis] - 1, shape[axis] + 2, 2)))
            ends = (start, stop) if step > 0 else (stop, start)
            held = [self.constant([n], np.int64) for n in (*ends, axis, step)]
            self.node("Slice", x, *held, shape=(0,))
        else:
            self.node("Slice", x, shape=(0,), starts=[0], ends=[max(1, shape[axis] - 1)], axes=[axis])
        if self.rng.random() < 0.3:
            picked = self.rng.integers(0, shape[axis], int(self.rng.integers(1, 6)))
            self.node("Gather", x, self.constant(picked, np.int64), shape=(0,), axis=axis)

    def padded(self, x: str) -> None:
        rank = len(self.shapes[x])
        pads = [0 if i % rank == 0 else int(n) for i, n in enumerate(self.rng.integers(-1, 3, 2 * rank))]
        mode = self.pick("constant", "constant", "edge", "reflect")
        if mode != "constant":
            pads = [max(0, n) for n in pads]
        if self.opset >= 11:
            value = [self.constant(float(self.rng.normal()))] if mode == "constant" else []
            self.node("Pad", x, self.constant(pads, np.int64), *value, shape=(0,), mode=mode)
        else:
            self.node("Pad", x, shape=(0,), mode=mode, pads=pads)

    def softmax(self, x: str) -> None:
        axis = int(self.rng.integers(-1, len(self.shapes[x])))
        self.node(self.pick("Softmax", "LogSoftmax"), x, shape=(0,), axis=axis)

    def matrix(self, x: str) -> None:
        shape = self.shapes[x]
        out = int(self.rng.integers(1, 6))
        if len(shape) == 2 and self.rng.random() < 0.5:
            self.node("Gemm", x, self.normal(out, shape[1]), self.normal(out), shape=(0,), transB=1, alpha=0.5)
        elif self.rng.random() < 0.3 and len(shape) > 1:
            self.node("MatMul", self.normal(out, shape[-2]), x, shape=(0,))
        elif self.rng.random() < 0.2:
            self.node("MatMul", x, self.earlier(), shape=(0,))
        else:
            self.node("MatMul", x, self.normal(shape[-1], out), shape=(0,))

    def norm(self, x: str) -> None:
        shape = self.shapes[x]
        if len(shape) < 2:
            return
        c = shape[1]
        held = [self.constant(self.rng.uniform(0.5, 1.5, c)) for _ in range(4)]
        kind = self.pick(
            "BatchNormalization", "BatchNormalization", "InstanceNormalization", "LRN", "LayerNormalization"
        )
        if kind == "BatchNormalization":
            self.node(kind, x, *held, shape=(0,))
        elif kind == "InstanceNormalization" and len(shape) > 2:
            self.node(kind, x, *held[:2], shape=(0,))
        elif kind == "LRN" and len(shape) == 4:
            self.node(kind, x, shape=(0,), size=self.pick(1, 3, 5), alpha=0.01)
        elif kind == "LayerNormalization" and self.opset >= 17:
            axis = int(self.rng.integers(1, len(shape)))
            factors = self.constant(self.rng.uniform(0.5, 1.5, shape[axis:]))
            self.node(kind, x, factors, shape=(0,), axis=axis)

    def resized(self, x: str) -> None:
        shape = self.shapes[x]
        if len(shape) != 4 or self.opset < 11:
            return
        scales = self.constant([1.0, 1.0, *self.rng.choice([1.0, 1.5, 2.0, 0.5, 3.0], 2)])
        attributes = {
            "mode": self.pick("nearest", "nearest", "linear", "cubic"),
            "coordinate_transformation_mode": self.pick(
                "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"
            ),
            "nearest_mode": self.pick("round_prefer_floor", "floor", "ceil", "round_prefer_ceil"),
        }  # fmt: skip
        self.node("Resize", x, "", scales, shape=(0,), **attributes)

    def model(self) -> Any:
        """The graph so far, its last tensor as output."""
        from onnx import TensorProto

        helper = self.helper
        image = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))
        last = self.nodes[-1].output[0]
        graph = helper.make_graph(
            self.nodes, "g", [image], [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], self.held
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def drawn_graph(seed: int) -> tuple[Any, np.ndarray, np.ndarray, float] | None:
    """A random model, its image, what onnxruntime gives, and how far that may be off by rounding.

    Operators that onnxruntime refuses are taken back one by one.
    """
    import onnxruntime

    to = Drawn(seed)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    image = to.rng.uniform(-1.0, 1.0, to.shape).astype(np.float32)
    best = None
    for _ in range(int(to.rng.integers(2, 9))):
        before = (len(to.nodes), len(to.held), dict(to.shapes))
        to.grow()
        if len(to.nodes) == before[0]:
            continue
        try:
            model = to.model()
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            names = [node.output[0] for node in to.nodes[before[0] :]]
            (value,) = session.run(None, {"x": image})
            if not np.all(np.isfinite(value)) or value.size == 0 or value.size > 10_000 or np.abs(value).max() > 1e4:
                raise ValueError("not a sound output")  # noqa: TRY301
            for name in names[:-1]:
                to.shapes.pop(name, None)
            to.shapes[names[-1]] = tuple(value.shape)
            stepped = (image * (1.0 + 2.0**-23 * to.rng.choice([-1.0, 1.0], image.shape))).astype(np.float32)
            (other,) = session.run(None, {"x": stepped})
            moved = float(np.abs(other - value).max()) / (float(np.abs(value).max()) or 1.0)
            best = (model, image, np.asarray(value, dtype=float), max(RIGHT, 20.0 * moved))
        except Exception:  # noqa: BLE001  (onnxruntime has its own kinds)
            del to.nodes[before[0] :], to.held[before[1] :]
            to.shapes = before[2]
    return best


def graphs(count: int, first: int) -> int:
    """Random graphs against onnxruntime."""
    import onnx

    path = Path(tempfile.mkdtemp()) / "graph.onnx"
    kinds: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    seed = first
    while kinds.total() < count:
        made, seed = drawn_graph(seed), seed + 1
        if made is None:
            continue
        model, image, wanted, allowed = made
        onnx.save(model, path)
        kind, word = judged(partial(_outputs, path, image), wanted, allowed)
        kinds[kind] += 1
        if kind == "refused":
            reasons[" ".join(each for each in word.split() if not any(c.isdigit() for c in each))[:90]] += 1
        elif kind != "right":
            print(f"{kind}: seed {seed - 1}, opset {model.opset_import[0].version}: {word[:200]}; "
                  f"{[node.op_type for node in model.graph.node]}")  # fmt: skip
    print(f"random graphs against onnxruntime: {dict(kinds)}")
    for reason, times in reasons.most_common(12):
        print(f"  refused {times:4}: {reason}")
    return kinds["WRONG"] + kinds["CRASH"]


# the onnx package's own suites


def shipped() -> int:
    """Run light_*.onnx, simple and pytorch-converted and pytorch-operator files of the onnx package, as they are."""
    import onnx
    from onnx import numpy_helper

    root = Path(onnx.__file__).parent / "backend/test/data"
    bad = 0
    for folder in ("light", "pytorch-converted", "pytorch-operator", "simple"):
        kinds: collections.Counter[str] = collections.Counter()
        files = sorted((root / folder).glob("*.onnx")) or sorted((root / folder).glob("*/model.onnx"))
        for file in files:
            data = file.parent / "test_data_set_0"
            if not data.is_dir():
                kind, word = judged(lambda: import_onnx(file).forward(_ones(file)), np.zeros(0), RIGHT)  # noqa: B023
                kind = "right" if kind == "WRONG" and word.endswith("for 0") else kind  # compared at the import
            else:
                first, last = (
                    numpy_helper.to_array(onnx.load_tensor(data / f"{each}_0.pb")) for each in ("input", "output")
                )
                if first.dtype.kind != "f" or last.dtype.kind != "f":
                    continue
                image, wanted = first, last
                kind, word = judged(partial(_outputs, file, image), wanted.astype(float), 2e-5)
            kinds[kind] += 1
            if kind != "right":
                print(f"  {kind:8}{folder}/{file.parent.name}: {word[:150]}")
        print(f"{folder}: {dict(kinds)}")
        bad += kinds["WRONG"] + kinds["CRASH"]
    return bad


def _ones(file: Path) -> np.ndarray:
    return np.ones((1, *import_onnx(file, check=False).input_shape))


def _outputs(file: Path, image: np.ndarray) -> np.ndarray:
    """Outputs of an imported file for a batch of its own images."""
    network = import_onnx(file, check=False)
    if image.shape[1:] != network.input_shape and sorted(image.shape[1:]) == sorted(network.input_shape):
        image = np.moveaxis(image, -1, 1)  # a file that begins with its channels last
    return network.forward(image.astype(float).reshape(-1, *network.input_shape))


def nodes() -> int:
    """Run the node tests of the onnx package whose first input is the image; its other inputs become constants."""
    import onnx
    from onnx import numpy_helper
    from onnx.backend.test.case.node import collect_testcases

    path = Path(tempfile.mkdtemp()) / "node.onnx"
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for case in collect_testcases(None):
        model = type(case.model)()
        model.CopyFrom(case.model)
        graph, (given, wanted) = model.graph, case.data_sets[0]
        if any(not isinstance(each, (np.ndarray, np.generic)) for each in given):
            continue
        arrays = [np.asarray(each) for each in given]
        if not arrays or arrays[0].dtype.kind != "f" or arrays[0].ndim < 2 or len(wanted) != 1:
            continue
        if not isinstance(wanted[0], np.ndarray) or len(arrays) != len(graph.input) or arrays[0].shape[0] == 0:
            continue
        graph.initializer.extend(
            numpy_helper.from_array(value, each.name) for each, value in list(zip(graph.input, arrays, strict=True))[1:]
        )
        del graph.input[1:]
        onnx.save(model, path)
        half = arrays[0].dtype == np.float16
        kind, word = judged(
            partial(_outputs, path, arrays[0]), np.asarray(wanted[0], dtype=float), 1e-2 if half else 2e-5
        )
        table[graph.node[0].op_type if len(graph.node) == 1 else "expanded"][kind] += 1
        if kind in ("WRONG", "CRASH"):
            print(f"  {kind}: {case.name}: {word[:150]}")
    total: collections.Counter[str] = collections.Counter()
    for kind, counts in sorted(table.items()):
        if counts["right"]:
            print(f"{kind:24}{dict(counts)}")
        total += counts
    print(f"node tests: {dict(total)}")
    return total["WRONG"] + total["CRASH"]


# modules


def modules(build: Callable[[str], Any], names: list[str], side: int) -> int:
    """Import modules with random weights and batch norms that have lived, each compared with torch."""
    import torch
    from torch import nn

    kinds: collections.Counter[str] = collections.Counter()
    for name in names:
        start = time.perf_counter()
        torch.manual_seed(0)
        module = build(name).eval()
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:  # noqa: SLF001
                part.running_mean.normal_(0.0, 0.1)
                part.running_var.uniform_(0.8, 1.25)
        size = max(side, {"alexnet": 64, "inception_v3": 96, "inception_v4": 96}.get(name, 0))
        try:
            network = import_torch(module, (3, size, size))
            word = f"{network.card['import_check']['largest_difference']:.1e}, {len(network.layers)} layers"
            kind = "right"
        except ParameterError as error:
            kind, word = "refused", str(error)[:160]
        except Exception as error:  # noqa: BLE001  (a crash is what is looked for)
            kind, word = "CRASH", f"{type(error).__name__}: {error}"[:160]
        kinds[kind] += 1
        print(f"{name:28}{kind:8}{word}  ({time.perf_counter() - start:.0f} s)", flush=True)
    print(f"{len(names)} networks: {dict(kinds)}")
    return kinds["CRASH"]


def _without_its_kernels() -> None:
    """Let torchvision be imported beside a torch that its compiled operators were not built for; none is used here."""
    import torch

    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")


def _timm(name: str) -> Any:
    import timm

    try:
        return timm.create_model(name, num_classes=10, img_size=64)
    except TypeError:  # of a network that takes any size
        return timm.create_model(name, num_classes=10)


def _torchvision(name: str, classes: int = 10) -> Any:
    from torchvision import models

    more = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return getattr(models, name)(weights=None, num_classes=classes, **more)


# on a chip


def on_chip(names: list[str], side: int, chip: str) -> int:
    """Export torchvision's networks to ONNX, import them and run one image on a chip with every deviation."""
    import torch

    for name in names or ["resnet18"]:
        torch.manual_seed(0)
        path = Path(tempfile.mkdtemp()) / f"{name}.onnx"
        torch.onnx.export(_torchvision(name, 1000).eval(), (torch.zeros(1, 3, side, side),), str(path), verbose=False)
        for what, seconds, processor in _steps(path, chip):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"{name} at {side}: {what}: {seconds:.0f} s, {processor:.0f} s of processor time; "
                f"peak memory so far {peak:.1f} GiB", flush=True,
            )  # fmt: skip
    return 0


def _steps(path: Path, chip: str) -> Iterator[tuple[str, float, float]]:
    """What was done, and how long it took on the clock and on the processors [s]."""
    hardware, watch = load_hardware(chip), _Watch()
    network = import_onnx(path)
    yield f"import, off by {network.card['import_check']['largest_difference']:.1e}", *watch.lap()
    images = np.random.default_rng(0).uniform(size=(2, *network.input_shape))
    program = compile_network(network, hardware, images[:1])
    yield f"compile, {sum(len(m.tiles) * m.arrays for m in program.all_matrices)} arrays", *watch.lap()
    written = write(program, seed=0)
    yield "write", *watch.lap()
    result = run(written, images[1:])
    off = float(np.abs(result.logits - result.exact).max() / np.abs(result.exact).max())
    yield f"one image, off by {off:.2f} of the largest output", *watch.lap()


class _Watch:
    """Seconds since the last lap, on the clock and on the processors."""

    def __init__(self) -> None:
        self.last = (time.perf_counter(), time.process_time())

    def lap(self) -> tuple[float, float]:
        """Begin another lap; returns the seconds of the one that ends."""
        now = (time.perf_counter(), time.process_time())
        clock, processor = now[0] - self.last[0], now[1] - self.last[1]
        self.last = now
        return clock, processor


if __name__ == "__main__":
    try:
        import torchvision  # noqa: F401  (only looked for)
    except RuntimeError:
        _without_its_kernels()
    except ImportError:
        pass
    main()
