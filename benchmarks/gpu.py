"""Measure the energy and time of a graphics card per image of a stored network, with the energy counter of NVML.

    python -m benchmarks.gpu dvgg-cifar10 --batches 1 512 --seconds 20

The network runs in PyTorch on random images of its size, in FP16 with tensor cores or in FP32.  The energy is that of
the whole card, with and without its idle power.  The script adds one entry for each batch size, with card, driver,
versions and date, to mapping/measured_gpu.json (--out), which reports use.  It needs `pip install crossgate[gpu]` and a
card with an energy counter (Volta or later); without one it prints a message and ends with status 2.
"""

import argparse
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mapping.networks import (
    INPUT,
    Activation,
    Add,
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    DynamicConv,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Network,
    Relu,
    Scale,
    Softmax,
)
from mapping.networks.models import load_model
from mapping.prices.yardsticks import MEASURED

WARM_UP = 3.0  # [s] before the measurement, ours
AT_REST = 5.0  # [s] for the idle power, ours


class MissingError(Exception):
    """A library or card that the measurement needs is missing."""


def forward(network: Network, device: str, precision: str) -> Callable[[Any], Any]:
    """Return a network as a function of PyTorch tensors (b, c, h, w) on a device; precision: "fp16" or "fp32"."""
    import torch
    import torch.nn.functional as f

    kind = torch.float16 if precision == "fp16" else torch.float32
    functions: dict[str, Callable[[Any], Any]] = {
        "relu6": f.relu6, "sigmoid": torch.sigmoid, "hard-sigmoid": f.hardsigmoid, "hard-swish": f.hardswish,
        "silu": f.silu, "tanh": torch.tanh,
    }  # fmt: skip

    def put(array: Any) -> Any:
        return None if array is None else torch.as_tensor(np.array(array), dtype=kind, device=device)

    held = {layer.name: {name: put(getattr(layer, name)) for name in layer.arrays} for layer in network.layers}
    attention = {
        layer.name: {name: put(getattr(layer.attention, name)) for name in Attention.arrays}
        for layer in network.layers
        if isinstance(layer, DynamicConv)
    }

    def dynamic(layer: DynamicConv, x: Any, looked_at: Any, positions: Any) -> Any:
        own, at = held[layer.name], attention[layer.name]
        hidden = f.relu(f.linear(looked_at.mean((2, 3)), at["weight_1"], at["bias_1"]))
        scores = f.linear(hidden, at["weight_2"], at["bias_2"]) / layer.attention.temperature
        shares = torch.softmax(scores, 1) if layer.attention.kind == "softmax" else torch.sigmoid(scores)
        b, weight = len(x), own["weight"]
        mixed = (shares @ weight.reshape(len(weight), -1)).reshape(b, *weight.shape[1:])
        if positions is not None:
            mixed = mixed * positions.reshape(b, 1, 1, *layer.kernel)
        bias = None if own["bias"] is None else (shares @ own["bias"]).reshape(-1)
        out = f.conv2d(
            x.reshape(1, -1, *x.shape[2:]), mixed.reshape(-1, *mixed.shape[2:]), bias, layer.stride, layer.padding,
            layer.dilation, b * layer.groups,
        )  # fmt: skip
        return out.reshape(b, -1, *out.shape[2:])

    def one(layer: Layer, x: list[Any]) -> Any:
        own = held[layer.name]
        match layer:
            case DynamicConv():
                return dynamic(layer, x[0], x[min(1, len(x) - 1)], x[2] if len(x) > 2 else None)
            case Conv():
                return f.conv2d(
                    x[0], own["weight"], own["bias"], layer.stride, layer.padding, layer.dilation, layer.groups
                )
            case Linear():
                return f.linear(x[0], own["weight"], own["bias"])
            case BatchNorm():
                return f.batch_norm(x[0], own["mean"], own["variance"], own["gamma"], own["beta"], eps=layer.epsilon)
            case Relu():
                return f.relu(x[0])
            case Activation():
                return functions[layer.kind](x[0])
            case MaxPool():
                return f.max_pool2d(x[0], layer.size, layer.stride, layer.padding)
            case AveragePool():
                return f.avg_pool2d(
                    x[0], layer.size, layer.stride, layer.padding, count_include_pad=layer.count_padding
                )
            case GlobalAveragePool():
                return x[0].mean((2, 3))
            case Flatten():
                return x[0].flatten(1)
            case Add():
                return sum(x[1:], x[0])
            case Scale():
                return x[0] * x[1].reshape(*x[1].shape, *[1] * (x[0].ndim - 2))
            case Softmax():
                return torch.softmax(x[0], 1)
        raise MissingError(f"no way is known to run {type(layer).__name__} layers in PyTorch here")

    def call(images: Any) -> Any:
        values = {INPUT: images.to(kind)}
        for layer in network.layers:
            values[layer.name] = one(layer, [values[source] for source in layer.inputs])
        return values[network.layers[-1].name]

    return call


def card() -> tuple[Any, Any, Any]:
    """Return torch, pynvml and the handle of the first card.  Raises MissingError, with one sentence."""
    try:
        import torch
    except ImportError:
        raise MissingError("this measurement needs PyTorch: pip install 'crossgate[torch,gpu]'") from None
    if not torch.cuda.is_available():
        raise MissingError("there is no CUDA card that PyTorch can use on this machine, so nothing was measured")
    try:
        import pynvml
    except ImportError:
        raise MissingError("this measurement needs NVML's Python module: pip install 'crossgate[gpu]'") from None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(torch.cuda.current_device())
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError as error:
        raise MissingError(f"the card's energy counter cannot be read: {error}") from None
    return torch, pynvml, handle


def measured(call: Callable[[], None], settle: Callable[[], None], joules: Callable[[], float], seconds: float,
             clock: Callable[[], float] = time.perf_counter) -> tuple[int, float, float]:  # fmt: skip
    """Call for some seconds; returns calls, seconds and joules between the first and the last synchronised state."""
    settle()
    start, before, calls = clock(), joules(), 0
    while clock() - start < seconds:
        call()
        calls += 1
        if calls % 16 == 0:
            settle()  # launches must not run ahead of the clock
    settle()
    return calls, clock() - start, joules() - before


def measure(name: str, batches: list[int], seconds: float, precision: str) -> list[dict[str, Any]]:
    """Return one entry for each batch size.  Raises MissingError without a card."""
    torch, pynvml, handle = card()
    network = load_model(name)

    def joules() -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * 1e-3

    def text(value: object) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    torch.cuda.synchronize()
    before, begin = joules(), time.perf_counter()
    time.sleep(AT_REST)
    rest = (joules() - before) / (time.perf_counter() - begin)
    function = forward(network, "cuda", precision)
    entries = []
    with torch.inference_mode():
        for batch in batches:
            images = torch.rand(batch, *network.input_shape, device="cuda")

            def call(images: Any = images) -> None:
                function(images)

            measured(call, torch.cuda.synchronize, joules, WARM_UP)
            calls, took, spent = measured(call, torch.cuda.synchronize, joules, seconds)
            count = calls * batch
            entries.append({
                "model": name, "batch": batch, "precision": precision, "card": text(pynvml.nvmlDeviceGetName(handle)),
                "joules_per_image": spent / count, "joules_per_image_above_rest": (spent - rest * took) / count,
                "images_per_s": count / took, "watts": spent / took, "watts_at_rest": rest, "seconds": took,
                "images": count, "date": datetime.now(UTC).date().isoformat(),
                "driver": text(pynvml.nvmlSystemGetDriverVersion()), "cuda": str(torch.version.cuda),
                "torch": importlib.metadata.version("torch"), "python": platform.python_version(),
                "method": "nvmlDeviceGetTotalEnergyConsumption over the whole run, random images held on the card",
            })  # fmt: skip
    return entries


def store(entries: list[dict[str, Any]], path: Path) -> None:
    """Add entries to a data file; one of the same model, batch, precision and card is replaced."""

    def key(entry: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(entry[name] for name in ("model", "batch", "precision", "card"))

    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    new = {key(entry) for entry in entries}
    path.write_text(json.dumps([*(each for each in old if key(each) not in new), *entries], indent=2) + "\n", "utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and store; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 512])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--precision", choices=("fp16", "fp32"), default="fp16")
    parser.add_argument("--out", type=Path, default=MEASURED)
    given = parser.parse_args(arguments)
    try:
        entries = measure(given.model, given.batches, given.seconds, given.precision)
    except MissingError as error:
        sys.stderr.write(f"gpu: {error}\n")
        return 2
    store(entries, given.out)
    for each in entries:
        print(f"{each['card']}, batch {each['batch']}: {each['joules_per_image']:.3g} J per image "
              f"({each['joules_per_image_above_rest']:.3g} J above rest), {each['images_per_s']:,.0f} images/s, "
              f"{each['watts']:.0f} W")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
