"""Small sound inputs of every reader, and seeded damage to them: what the tests of readers draw their cases from.

Nothing drawn here holds code, references to other machines or compressed data that unpacks to more than it says.
"""

import csv
import gzip
import io
import json
import pickle
import re
import struct
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crossbar.prices.catalogue import PUBLISHED
from crossbar.prices.component_model import load_components
from devices.measurements.curves import read_measurement
from devices.noise.noise_table import read_noise_table
from mapping import load_dataset, load_hardware, load_network, save_network
from mapping.files.cache import Cache
from mapping.files.packed import about, pack, unpack
from mapping.hardware.description_files import CHIPS
from mapping.inference.scoring import NUMBERS as COLUMNS
from mapping.inference.traces import PREDICTIONS
from mapping.report.comparing import PRICES, compare_runs
from mapping.studies.study_files import load_study
from tests.small_networks import joined

DATA = Path(__file__).parent / "data"
Files = dict[str, bytes]


class Reader(NamedTuple):
    """A reader, a sound input for it, and the ways in which that input is hurt."""

    files: Files  #: a sound input, by path in its folder
    read: Callable[[Path], object]  #: reads the folder
    hurt: tuple[Callable[[np.random.Generator, bytes], bytes], ...]  #: ways to damage one file
    whole: tuple[str, ...] | None = None  #: files that are damaged; None: all


# Damage

NUMBERS = (
    "nan", "inf", "-inf", "1e400", "-1e400", "1e308", "5e-324", "-1", "-0.0", "0", "1e30", "1e-30", "2147483648",
    "9223372036854775808", "9" * 400, "9" * 5000, "0x10", "0x" + "f" * 5000,
    "1_000", "1,5", "1.5.2", "", "--", "true", "'text'",
    '"text"', "[]", "[1, [2]]", "{}", "1979-05-27", "NaN", "Infinity", "null", "٣", "½", "1e", "e5", "+",
)  # fmt: skip
PIECES = (
    "\x00", "\ufeff", "\r", "\t", "\u2028", "\x85", "\x1b[31m", "[bold]", "[/bold]", "\U0001f600", "=", "[", "]", '"',
    "'", "#", ",", ";", "%s", "{0}", "\\", "\ud7ff", "[" * 3000, "(" * 200, "x" * 5000, "\n" * 50,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, 0, -1, 1e300, 5e-324, float("nan"), float("inf"), 2**63, 10**400, "", "text", "[bold]", "\x00",
    [], [[]], [None], {}, {"": None}, [1, "a"], -(10**18), 0.5, "nan",
)  # fmt: skip


def by_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Change, cut, double or overwrite bytes."""
    held = bytearray(data or b" ")
    at = int(rng.integers(len(held)))
    match int(rng.integers(7)):
        case 0:
            for place in rng.integers(len(held), size=int(rng.integers(1, 20))):
                held[place] = int(rng.integers(256))
        case 1:
            del held[at:]
        case 2:
            del held[at : at + int(rng.integers(1, 200))]
        case 3:
            held[at:at] = held[at : at + int(rng.integers(1, 200))]
        case 4:
            held[at : at + 8] = struct.pack("<q", int(rng.choice([-1, 2**31 - 1, 2**62, 2**40])))
        case 5:
            held[at : at + 40] = rng.bytes(40)
        case _:
            return rng.bytes(int(rng.integers(64))) if rng.integers(2) else b""
    return bytes(held)


def by_text(rng: np.random.Generator, data: bytes) -> bytes:
    """Change a number, a line, a word or an encoding of a text."""
    text = data.decode("utf-8", errors="surrogateescape")
    match int(rng.integers(8)):
        case 0 | 1 | 2:
            places = list(re.finditer(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", text))
            for _ in range(int(rng.integers(1, 3)) if places else 0):
                one = places[rng.integers(len(places))]
                text = text[: one.start()] + str(rng.choice(NUMBERS)) + text[one.end() :]
        case 3:
            lines = text.splitlines(keepends=True) or [""]
            at, other = rng.integers(len(lines), size=2)
            lines[at] = lines[other] if rng.integers(2) else ""
            text = "".join(lines)
        case 4:
            at = int(rng.integers(len(text) + 1))
            text = text[:at] + str(rng.choice(PIECES)) + text[at:]
        case 5:
            words = list(re.finditer(r"[A-Za-z_]+", text))
            if words:
                one, other = (words[k] for k in rng.integers(len(words), size=2))
                text = text[: one.start()] + other.group() + text[one.end() :]
        case 6:
            lines = text.splitlines(keepends=True)
            rng.shuffle(lines)
            text = "".join(lines)
        case _:
            kind = str(rng.choice(["utf-16", "utf-32", "latin-1", "cp1252", "utf-16-be"]))
            return text.encode(kind, errors="replace")
    return text.encode("utf-8", errors="surrogateescape")


def by_json(rng: np.random.Generator, data: bytes) -> bytes:
    """Replace, remove or rename one entry of a JSON text."""
    held = json.loads(data)
    return json.dumps(_changed(rng, held)).encode()


def _changed(rng: np.random.Generator, held: Any) -> Any:
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            if isinstance(below, (dict, list)):
                walk(below)

    walk(held)
    value, key = places[rng.integers(len(places))]
    match int(rng.integers(5)):
        case 0:
            del value[key]
        case 1:
            other, name = places[rng.integers(len(places))]
            value[key] = json.loads(json.dumps(other[name])) if not isinstance(other, list) or other else None
        case _:
            value[key] = OTHERS[rng.integers(len(OTHERS))]
    return held


def by_array(rng: np.random.Generator, held: np.ndarray) -> np.ndarray:
    """Return an array of another type, shape or of other values."""
    extremes = [np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, -1.0, 2.0, 1e9, 256.0]
    match int(rng.integers(8)):
        case 0:
            kinds = ["f2", "f4", "f8", ">f8", "i1", "u1", "<i8", ">u2", "?", "c16", "U3", "S2", "M8[s]", "m8[s]"]
            kind = str(rng.choice(kinds))
            flat = np.zeros(held.shape, kind) if kind[0] in "USMm" else held.astype(kind)
            return np.asarray(flat)
        case 1:
            return held.reshape(-1)
        case 2:
            return held[: len(held) // 2] if held.ndim else held.reshape(1)
        case 3:
            return held[..., :0] if held.ndim else held.reshape(1, 1)
        case 4:
            return np.zeros(held.shape, [("a", "f4"), ("b", "i2")])
        case 5:
            return np.asfortranarray(held) if rng.integers(2) else held[None]
        case _:
            out = held.astype(np.float64) if held.dtype.kind == "f" or rng.integers(2) else held.copy()
            if out.size:
                with np.errstate(all="ignore"):
                    value = extremes[rng.integers(len(extremes))]
                    out.reshape(-1)[rng.integers(out.size)] = value if out.dtype.kind == "f" else 200
            return out


def npy(value: np.ndarray) -> bytes:
    """Bytes of a .npy file."""
    held = io.BytesIO()
    np.lib.format.write_array(held, np.asarray(value), allow_pickle=False)
    return held.getvalue()


def by_npy(rng: np.random.Generator, data: bytes) -> bytes:
    """Damage an array of a .npy file, or the text of its header."""
    if rng.integers(3):
        return npy(by_array(rng, np.load(io.BytesIO(data))))
    head, body = data[10:128], data[128:]
    text = by_text(rng, head.rstrip())[:6000]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + body


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Bytes of a .npz file."""
    held = io.BytesIO()
    np.savez(held, **arrays)  # type: ignore[arg-type]
    return held.getvalue()


def by_npz(rng: np.random.Generator, data: bytes) -> bytes:
    """Damage one array of an archive, leave it out or rename it; a header of JSON text is damaged as such."""
    with np.load(io.BytesIO(data)) as held:
        arrays = dict(held)
    name = str(rng.choice(list(arrays)))
    value = arrays.pop(name)
    match int(rng.integers(6)):
        case 0:
            pass
        case 1:
            arrays[f"{name}_"] = value
        case _ if name == "header":
            arrays[name] = np.frombuffer(by_json(rng, value.tobytes()), dtype=np.uint8)
        case _:
            arrays[name] = by_array(rng, value)
    return npz(arrays)


def by_idx(rng: np.random.Generator, data: bytes) -> bytes:
    """Damage the header of an IDX file: its type, its axes and their lengths."""
    held = bytearray(data)
    held[int(rng.integers(2, min(16, len(held))))] = int(rng.choice([0, 1, 3, 8, 9, 13, 14, 127, 255]))
    return bytes(held)


def by_pack(rng: np.random.Generator, data: bytes) -> bytes:
    """Damage the description in a packed file and make its checksum right again."""
    import hashlib

    magic, digest = data[:16], hashlib.sha256().digest_size
    (length,) = struct.unpack_from("<Q", data, 16)
    text = by_json(rng, data[24 : 24 + length]).replace(b"NaN", b"1e999")  # a cache may hold nan
    gap = -(24 + length) % 64
    rest = data[24 + length + gap : -digest]
    body = magic + struct.pack("<Q", len(text)) + text + bytes(-(24 + len(text)) % 64) + rest
    return body + hashlib.sha256(body).digest()


# Places in which something else than a file stands


def elsewhere(path: Path, kind: str) -> None:
    """Put something else in the place of a file."""
    path.unlink(missing_ok=True)
    match kind:
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "dangling":
            path.symlink_to("nowhere")
        case "pipe":
            import os

            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/null")


PLACES = ("missing", "folder", "loop", "dangling", "pipe", "device")


# Sound inputs


def _npy() -> Reader:
    pixels, labels = _images()
    return Reader(
        {"images.npy": npy(pixels), "labels.npy": npy(labels)},
        lambda at: load_dataset("own", data_dir=at),
        (by_npy, by_npy, by_bytes),
    )


def _npz() -> Reader:
    pixels, labels = _images()
    return Reader(
        {"own.npz": npz({"x_test": pixels / 255.0, "y_test": labels})},
        lambda at: load_dataset("own", data_dir=at / "own.npz"),
        (by_npz, by_npz, by_bytes),
    )


def _idx() -> Reader:
    pixels, labels = _images()
    return Reader(
        {
            "t10k-images-idx3-ubyte": b"\0\0\x08\x03" + struct.pack(">3I", 6, 4, 4) + pixels.tobytes(),
            "t10k-labels-idx1-ubyte": b"\0\0\x08\x01" + struct.pack(">I", 6) + labels.astype("u1").tobytes(),
        },
        lambda at: load_dataset("own", data_dir=at),
        (by_idx, by_bytes),
    )


def _packed_idx() -> Reader:
    plain = _idx()
    name = "t10k-images-idx3-ubyte"
    files = {**plain.files, f"{name}.gz": gzip.compress(plain.files[name], mtime=0)}
    del files[name]
    return Reader(files, plain.read, (by_bytes,))


def _cifar_binary() -> Reader:
    records = np.random.default_rng(5).integers(10, size=(3, 3073), dtype=np.uint8)
    return Reader({"test_batch.bin": records.tobytes()}, lambda at: load_dataset("cifar10", data_dir=at), (by_bytes,))


def _cifar_python() -> Reader:
    pixels = np.random.default_rng(5).integers(256, size=(3, 3072), dtype=np.uint8)
    held = {b"data": pixels, b"labels": [1, 2, 3], b"batch_label": b"testing"}
    files = {"test_batch": pickle.dumps(held, protocol=2)}
    return Reader(files, lambda at: load_dataset("cifar10", data_dir=at), (by_cifar,))


def _chip() -> Reader:
    files = {"chip.toml": (CHIPS / "adaptive2d.toml").read_bytes() + b"\n" + _every_key()}
    return Reader(files, lambda at: load_hardware(at / "chip.toml"), (by_text, by_text, by_text, by_bytes))


def _components() -> Reader:
    files = {"own.toml": PUBLISHED.read_bytes()[:3000].rpartition(b"\n[")[0] + b"\n"}
    return Reader(files, lambda at: load_components(at / "own.toml"), (by_text, by_text, by_bytes))


def _curves(name: str) -> Reader:
    """Return the reader of a stored file of an instrument, or of a plain table."""
    chosen = {"Wordline": "2", "Bitline": "5"} if name == "arc_one.csv" else {}
    if name == "plain.csv":
        lines = [b"voltage,current,v_gate", *(b"%g,%g,0.5" % (v, 1e-5 * v) for v in np.arange(0.02, 0.42, 0.02))]
        data = b"\n".join(lines)
    else:
        data = (DATA / "curves" / name).read_bytes()
    columns = {"voltage": "1", "current": "2"} if name == "savetxt.txt" else {}
    ways = (by_bytes,) if ".xls" in name else (by_text, by_text, by_bytes)
    return Reader({name: data}, lambda at: read_measurement(at / name, columns, only=chosen), ways)


def _images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.integers(256, size=(6, 1, 4, 4), dtype=np.uint8), np.arange(6) % 3


def by_cifar(rng: np.random.Generator, data: bytes) -> bytes:
    """Another dictionary in a file of CIFAR-10's Python version, or its end cut off."""
    if rng.integers(2):
        return data[: int(rng.integers(len(data)))]
    held = pickle.loads(data)
    key = (b"data", b"labels")[rng.integers(2)]
    held[key] = by_array(rng, held[key]) if key == b"data" and rng.integers(2) else OTHERS[rng.integers(len(OTHERS))]
    return pickle.dumps(held if rng.integers(5) else OTHERS[rng.integers(len(OTHERS))], protocol=2)


def _network() -> Files:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        save_network(joined(np.random.default_rng(1)), path)
        return {"net.npz": path.read_bytes()}


def _every_key() -> bytes:
    """Return the numbers of the default description as the text of a chip file; sections that are there stay."""
    import dataclasses
    import tomllib

    from mapping import Hardware

    there = tomllib.loads((CHIPS / "adaptive2d.toml").read_text())
    lines = []
    for section in dataclasses.fields(Hardware):
        part = getattr(Hardware(), section.name)
        if dataclasses.is_dataclass(part) and section.name not in there and section.name != "cell":
            held = {each.name: getattr(part, each.name, None) for each in dataclasses.fields(part) if each.init}
            lines.append(f"[{section.name}]")
            for name, value in held.items():
                if isinstance(value, (bool, int, float)):
                    lines.append(f"{name} = {str(value).lower()}")
    return "\n".join(lines).encode()


def _study() -> bytes:
    return b"""
about = "two things"
model = "vgg-digits"
chip = "two_terminal"
images = 60
seeds = [0, 3]
sweep = "grid"
settings = { wires.r_row = 2.8, adc.bits = 6 }

[[parameter]]
name = "wires"
keys = ["wires.r_row", "wires.r_column"]
values = [0.0, 2.8, 6.4]

[[parameter]]
key = "spread.write_error"
low = 0.005
high = 0.08
steps = 5
scale = "log"
"""


class Held(NamedTuple):
    """What the cached file of the tests holds."""

    name: str
    numbers: np.ndarray


CLASSES = {"Held": Held}


def _packed() -> Files:
    import tempfile

    value = [Held("one", np.arange(12.0).reshape(3, 4)), {"a": (1, 2.5, None), "b": slice(1, 3)}, np.arange(5)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chip-1.pack"
        pack(path, value, CLASSES, about="what it is")
        return {"chip-1.pack": path.read_bytes()}


def _unpacked(at: Path) -> object:
    """Read a cached file in all three ways; a damaged one is reported and read as if there were none."""
    said: list[str] = []
    held = Cache(at, say=said.append)
    value, listed = held.get("chip-1", CLASSES), [each.about for each in held.entries()]
    if said and (value is not None or "\n" in said[0]):
        raise AssertionError(said)
    if about(at / "chip-1.pack") not in (*listed, ""):
        raise AssertionError(listed)
    try:
        return unpack(at / "chip-1.pack", CLASSES)
    except OSError:  # documented: the cache takes it as no result
        return None


def _reports(*, numbers: bool = False) -> Reader:
    rng = np.random.default_rng(5)
    files = {}
    for name in ("one", "two"):
        values = {key: float(rng.uniform(1.0, 2.0)) for key, _, _ in PRICES}
        chip = {"wires": {"r_row": 1.0}, "name": name}
        held = {"model": "m", "chip": "c", "seed": 1, "configuration": chip, **values}
        files[f"{name}/report.json"] = json.dumps(held).encode()
        table = io.StringIO()
        rows = csv.writer(table)
        if numbers:
            rows.writerow(COLUMNS)
            rows.writerows([k // 2, k % 2, 0.5 * k, 0.5 * k + 0.1, 0.5 * k] for k in range(8))
        else:
            rows.writerow(PREDICTIONS)
            rows.writerows([k, "abc"[k % 3], "abc"[int(rng.integers(3))], "abc"[k % 3]] for k in range(9))
        files[f"{name}/predictions.csv"] = table.getvalue().encode()
    ways = (by_json_or_table, by_json_or_table, by_text)
    return Reader(files, lambda at: compare_runs(at / "one", at / "two"), ways)


def by_json_or_table(rng: np.random.Generator, data: bytes) -> bytes:
    """Damage an entry of a report, or a line of a table."""
    return by_json(rng, data) if data.startswith(b"{") else by_text(rng, data)


def _pictures() -> Reader:
    from PIL import Image

    pixels, _ = _images()
    files = {}
    for number, each in enumerate(pixels[:, 0]):
        held = io.BytesIO()
        Image.fromarray(each).save(held, format="png")
        files[f"{'ab'[number % 2]}/{number}.png"] = held.getvalue()
    return Reader(files, lambda at: load_dataset("own", data_dir=at), (by_bytes,))


def _onnx() -> Reader:
    import onnx
    from onnx import helper, numpy_helper

    from mapping import import_onnx

    rng = np.random.default_rng(5)
    constants = {
        "w": rng.normal(size=(4, 2, 3, 3)), "b": rng.normal(size=4), "fc": rng.normal(size=(4, 3)),
        "low": np.array(0.0), "high": np.array(6.0), "gate": rng.normal(size=(1, 4, 1, 1)),
    }  # fmt: skip
    whole = {"shape": np.array([1, 4, 9]), "back": np.array([0, 4, 3, 3]), "axes": np.array([2, 3])}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="first", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Clip", ["c", "low", "high"], ["r"]),
        helper.make_node("Mul", ["r", "gate"], ["g"]),
        helper.make_node("AveragePool", ["g"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["p", "shape"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["turned"], perm=[0, 1, 2]),
        helper.make_node("Reshape", ["turned", "back"], ["q"]),
        helper.make_node("ReduceMean", ["q", "axes"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "fc"], ["s"], name="scores", alpha=0.5),
        helper.make_node("Softmax", ["s"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, 6, 6])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
        + [numpy_helper.from_array(value, name) for name, value in whole.items()],
    )  # fmt: skip
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()

    def by_graph(rng: np.random.Generator, data: bytes) -> bytes:
        model = onnx.load_from_string(data)
        graph = model.graph
        node = graph.node[rng.integers(len(graph.node))]
        constant = graph.initializer[rng.integers(len(graph.initializer))]
        numbers = [0, -1, 1, 7, 2**31, 2**62, -(2**40)]
        number = numbers[rng.integers(len(numbers))]
        match int(rng.integers(10)):
            case 0:
                node.op_type = str(rng.choice(["Relu", "Conv", "Add", "Concat", "Loop", "NonZero", "", "Gather"]))
            case 1:
                names = [each for one in graph.node for each in (*one.input, *one.output)] + ["", "nowhere"]
                node.input[int(rng.integers(len(node.input)))] = str(rng.choice(names))
            case 2 if node.attribute:
                one = node.attribute[rng.integers(len(node.attribute))]
                if one.ints:
                    one.ints[int(rng.integers(len(one.ints)))] = number
                else:
                    one.i, one.f = number, float(number)
            case 3 if node.attribute:
                node.attribute[rng.integers(len(node.attribute))].type = int(rng.integers(12))
            case 4 if constant.dims:
                constant.dims[int(rng.integers(len(constant.dims)))] = number
            case 5:
                constant.data_type = int(rng.integers(20))
            case 6:
                held = by_array(rng, numpy_helper.to_array(constant))
                if held.dtype.kind in "fiub":
                    name = constant.name
                    constant.CopyFrom(numpy_helper.from_array(held.astype(held.dtype.newbyteorder("=")), name))
            case 7:
                del node.input[int(rng.integers(len(node.input))) :]
            case 8:
                graph.input[0].type.tensor_type.shape.dim[int(rng.integers(4))].dim_value = number
            case _:
                model.opset_import[0].version = int(rng.choice([0, 5, 6, 7, 11, 13, 21, 30, 2**40]))
        return model.SerializeToString()

    return Reader(
        {"net.onnx": data}, lambda at: import_onnx(at / "net.onnx", check=False), (by_graph, by_graph, by_bytes)
    )


def _checkpoint() -> Reader:
    import torch

    from mapping import load_state

    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    held = io.BytesIO()
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, held)

    def by_state(rng: np.random.Generator, data: bytes) -> bytes:
        held = torch.load(io.BytesIO(data), weights_only=True)
        state = dict(held["state_dict"])
        name = str(rng.choice(list(state)))
        match int(rng.integers(6)):
            case 0:
                del state[name]
            case 1:
                state[f"{name}.x"] = state[name]
            case 2:
                state[name] = state[name].reshape(-1)[:1].repeat(3)
            case 3:
                state[name] = OTHERS[rng.integers(len(OTHERS))]
            case 4:
                state = OTHERS[rng.integers(len(OTHERS))]
            case _:
                state[name] = state[name].to(torch.complex64)
        out = io.BytesIO()
        torch.save({"state_dict": state} if rng.integers(2) else state, out)
        return out.getvalue()

    def cut(rng: np.random.Generator, data: bytes) -> bytes:
        return data[: int(rng.integers(len(data)))]

    def read(at: Path) -> object:
        fresh = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
        load_state(fresh, at / "net.pt")
        return {name: value.numpy() for name, value in fresh.state_dict().items()}

    return Reader({"net.pt": held.getvalue()}, read, (by_state, cut))


#: every reader, by name
READERS: dict[str, Callable[[], Reader]] = {
    "npy": _npy,
    "npz": _npz,
    "IDX": _idx,
    "packed IDX": _packed_idx,
    "CIFAR binary": _cifar_binary,
    "CIFAR Python": _cifar_python,
    "pictures": _pictures,
    "network": lambda: Reader(_network(), lambda at: load_network(at / "net.npz"), (by_npz, by_npz, by_npz, by_bytes)),
    "ONNX": _onnx,
    "checkpoint": _checkpoint,
    "chip": _chip,
    "study": lambda: Reader(
        {"study.toml": _study()}, lambda at: load_study(at / "study.toml"), (by_text, by_text, by_text, by_bytes)
    ),
    "components": _components,
    "noise table": lambda: Reader(
        {"noise.csv": b"conductance_uS,mean_uS,sigma_nS\n1,1.1,20\n5,5.2,30\n20,21,40\n"},
        lambda at: read_noise_table(at / "noise.csv"), (by_text, by_text, by_bytes),
    ),
    "noise table in TOML": lambda: Reader(
        {"noise.toml": b"conductance_uS = [1.0, 5.0, 20.0]\nmean_uS = [1.1, 5.2, 21.0]\nsigma_nS = [20, 30, 40]\n"},
        lambda at: read_noise_table(at / "noise.toml"), (by_text, by_text, by_bytes),
    ),
    "cache": lambda: Reader(_packed(), _unpacked, (by_pack, by_pack, by_bytes)),
    "reports": _reports,
    "reports of numbers": partial(_reports, numbers=True),
    **{
        f"curves {name}": partial(_curves, name)
        for name in (
            "plain.csv", "arc_one.csv", "keithley_4200a.csv", "keithley_4200a.xls", "keithley_4200a.xlsx",
            "keysight_easyexpert.csv", "keysight_easyexpert_by_column.csv", "labview.lvm", "origin.txt", "savetxt.txt",
            "savetxt_commas.csv", "savetxt_header.txt",
        )
    },
}  # fmt: skip
NEEDS = {
    "pictures": "PIL", "ONNX": "onnx", "checkpoint": "torch", "curves keithley_4200a.xls": "xlrd",
    "curves keithley_4200a.xlsx": "openpyxl",
}  # fmt: skip


def available(name: str) -> bool:
    """Whether the library that a reader needs is installed."""
    return name not in NEEDS or find_spec(NEEDS[name]) is not None


@cache
def reader(name: str) -> Reader:
    """Return a reader by its name, with its sound input."""
    return READERS[name]()


def cases(reader: Reader, rng: np.random.Generator, count: int) -> Iterable[tuple[str, str, bytes | str]]:
    """Return `count` damages of one file each: the file, what was done, and its bytes or what stands in its place."""
    names = sorted(reader.whole or reader.files)
    for index in range(count):
        name = str(rng.choice(names))
        if index < len(PLACES):
            yield name, PLACES[index], PLACES[index]
        else:
            way = reader.hurt[rng.integers(len(reader.hurt))]
            yield name, way.__name__, way(rng, reader.files[name])
