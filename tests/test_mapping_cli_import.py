"""`crossgate import`: a table of layers, what a run will take, the comparison; what cannot be imported."""

import sys

import numpy as np
import pytest

from mapping import load_network
from mapping.cli import command as cli

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


def stored(path, opset=17):
    rng = np.random.default_rng(0)
    held = {"w": rng.normal(size=(4, 3, 3, 3)), "f": rng.normal(size=(3, 4))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="first"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["v"]),
        helper.make_node("Gemm", ["v", "f"], ["y"], name="scores", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in held.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def told(monkeypatch, capfd, *arguments):
    monkeypatch.setattr(sys, "argv", ["crossgate", "import", *map(str, arguments)])
    status = 0
    try:
        cli.main()
    except SystemExit as stop:
        status = stop.code
    out, err = capfd.readouterr()
    return status, out, err


def test_import__tells_layers_tiles_and_the_comparison(tmp_path, monkeypatch, capfd):
    path = stored(tmp_path / "net.onnx")
    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = told(monkeypatch, capfd, path, "--out", tmp_path / "net.npz", "--chip", "ideal")
    assert status == 0
    (first,) = (line for line in out.splitlines() if "first" in line and " conv " in line)
    assert "4 × 4 × 4" in first
    assert "108" in first
    assert "of the largest output from onnxruntime" in out
    assert "2 arrays of ideal" in out
    for what in ("memory", "compile and write", "each image"):
        assert what in out
    assert load_network(tmp_path / "net.npz").card["import_check"]["largest_difference"] < 1e-5


def test_import__of_a_factory(tmp_path, monkeypatch, capfd):
    pytest.importorskip("torch")
    (tmp_path / "made_here.py").write_text(
        "from torch import nn\n\n\ndef net():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    status, out, _ = told(monkeypatch, capfd, "made_here:net", "--input-shape", "3,6,6", "--chip", "ideal")
    assert status == 0
    assert "from torch" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["net.tflite"], "FILE must end in .onnx or .pt2, or be pkg.module:factory, got 'net.tflite'"),
        (["none.onnx"], "there is no ONNX file none.onnx"),
        (["mapping:nothing", "--input-shape", "3,6,6"], "there is no 'nothing' in 'mapping'"),
        (["mapping:net"], "--input-shape must be given for a PyTorch module"),
        (["a:b", "--input-shape", "3,6"], "--input-shape must be three whole numbers such as 3,32,32, got '3,6'"),
        (["none.onnx", "--out", "net.pt"], "--out must be a .npz file, got 'net.pt'"),
    ],
)
def test_import__says_what_is_wrong(arguments, words, monkeypatch, capfd):
    status, _, err = told(monkeypatch, capfd, *arguments)
    assert status == 2
    assert words in err
    assert len(err.splitlines()) == 1


def test_comparison__is_made_once_for_a_file(tmp_path, monkeypatch):
    from mapping import load_model
    from mapping.networks.importers import from_onnx

    path = stored(tmp_path / "net.onnx")
    first = load_model(path).card["import_check"]
    monkeypatch.setattr(from_onnx.OnnxFile, "outputs", lambda *_: pytest.fail("it is compared again"))
    assert load_model(path).card["import_check"] == first


def test_comparison__without_a_runtime_says_so(tmp_path, monkeypatch):
    from mapping import import_onnx
    from mapping.networks.importers import from_onnx

    def nothing(*_):
        raise RuntimeError("this machine has none")

    monkeypatch.setattr(from_onnx.OnnxFile, "_session", nothing)
    monkeypatch.setattr(from_onnx.OnnxFile, "_reference", nothing)
    check = import_onnx(stored(tmp_path / "net.onnx")).card["import_check"]
    assert check["against"] == "not compared"
    assert "this machine has none" in check["reason"]


@pytest.mark.parametrize("opset", [9, 13, 17])
def test_comparison__by_the_reference_of_onnx(opset, tmp_path, monkeypatch):
    """Without onnxruntime; below opset 15 the file is converted first, as that evaluator mixes batch statistics in."""
    from mapping import import_onnx

    rng = np.random.default_rng(1)
    held = {key: rng.uniform(0.5, 1.5, 3) for key in ("g", "b", "m", "v")}
    nodes = [
        helper.make_node("BatchNormalization", ["x", "g", "b", "m", "v"], ["n"]),
        helper.make_node("Flatten", ["n"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", 1, [1, 48])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in held.items()],
    )
    path = tmp_path / "norm.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check = import_onnx(path).card["import_check"]
    assert check["against"].startswith("onnx ")
    assert check["largest_difference"] < 1e-5
