#!/usr/bin/env bash
# onnx 1.23.2: the package's own reference evaluator computes BatchNormalization of opsets 9 to 13, at inference, with a
# mixture of the stored statistics and those of the batch. onnxruntime and the operator's text use the stored ones alone.
# Seen: at opset 13 the two differ by more than 0.1 for a random batch; at opset 15 by less than 1e-5.
# Exit 0 while this holds, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

x = np.random.default_rng(0).normal(2.0, 3.0, (4, 2, 3, 3)).astype(np.float32)
statistics = {"scale": [1.0, 2.0], "bias": [0.5, -0.5], "mean": [0.0, 1.0], "var": [1.0, 4.0]}


def difference(opset):
    held = [helper.make_tensor(name, TensorProto.FLOAT, [2], values) for name, values in statistics.items()]
    node = helper.make_node("BatchNormalization", ["x", *statistics], ["y"])
    shape = [4, 2, 3, 3]
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    runtime = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    own = ReferenceEvaluator(model).run(None, {"x": x})[0]
    return float(np.abs(own - runtime.run(None, {"x": x})[0]).max())


old, new = difference(13), difference(15)
print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}: difference {old:.3g} at opset 13, {new:.3g} at 15")
sys.exit(0 if old > 0.1 and new < 1e-5 else 1)
PYTHON
