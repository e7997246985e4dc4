"""Fine-tuning in aihwkit beside ours: the same network, steps and images, then the same exact chip.

``python -m benchmarks.training_aihwkit [--wires 20] [--bits 3] [--seeds 0 1 2] [--folder FOLDER]`` needs
``pip install aihwkit`` besides the extra torch (measured with aihwkit 1.1.0, whose wheel takes torch 2.9 and later).
It fine-tunes `vgg-digits` as an aihwkit user would for such a chip: `TorchInferenceRPUConfig` with inputs of 8 bits,
outputs of the chip's bits, and normal noise of 5 % of the largest weight in every step. With ``--ideal-outputs`` the
noise on the weights is all that it adds. The result is compiled with compensation of wires and run on the chips of
benchmarks/training_comparison.py; rows go to its results.jsonl as the ways "aihwkit" and "aihwkit, ideal outputs".
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

import mapping
from benchmarks.training_comparison import GATE, INJECTED, RATE, READ, accuracy, description
from mapping.networks.graph import Network
from mapping.networks.layers.base import INPUT
from mapping.networks.layers.convolutions import Conv
from mapping.networks.layers.matrix_layers import Linear
from mapping.training import digital_layers

WAYS = {False: "aihwkit", True: "aihwkit, ideal outputs"}
BATCH = 64


def configuration(bits: int | None) -> Any:
    """Return aihwkit's description of such a chip; bits: of the outputs, None: neither rounded, bounded nor noisy."""
    from aihwkit.simulator.configs import TorchInferenceRPUConfig
    from aihwkit.simulator.parameters import WeightModifierType

    config = TorchInferenceRPUConfig()
    config.forward.inp_res = 1.0 / (2**8 - 2)
    if bits is None:
        config.forward.out_res, config.forward.out_bound, config.forward.out_noise = -1.0, -1.0, 0.0
    else:
        config.forward.out_res = 1.0 / (2**bits - 2)
    config.modifier.type = WeightModifierType.ADD_NORMAL
    config.modifier.std_dev = INJECTED
    config.modifier.rel_to_actual_wmax = True
    return config


class Analog(torch.nn.Module):  # type: ignore[misc]
    """A static network whose convolutions and fully connected layers are aihwkit's."""

    def __init__(self, network: Network, bits: int | None) -> None:
        from aihwkit.nn import AnalogConv2d, AnalogLinear

        super().__init__()
        self.layers = network.layers
        self.own = torch.nn.ModuleDict()
        for layer in network.layers:
            bias = getattr(layer, "bias", None)
            if isinstance(layer, Conv):
                if layer.groups != 1 or len(layer.padding) != 2:
                    raise ValueError(f"{layer.name} is no plain convolution")
                made = AnalogConv2d(
                    layer.channels, len(layer.weight), layer.kernel, layer.stride, layer.padding, layer.dilation,
                    bias=bias is not None, rpu_config=configuration(bits),
                )  # fmt: skip
            elif isinstance(layer, Linear):
                made = AnalogLinear(
                    layer.weight.shape[1], layer.weight.shape[0], bias=bias is not None, rpu_config=configuration(bits)
                )
            else:
                continue
            weight = torch.tensor(layer.weight.reshape(len(layer.weight), -1), dtype=torch.float32)
            made.set_weights(weight, None if bias is None else torch.tensor(bias, dtype=torch.float32))
            self.own[layer.name] = made

    def forward(self, images: Any) -> Any:
        """Return the outputs (b, classes)."""
        values = {INPUT: images}
        for layer in self.layers:
            given = [values[source] for source in layer.inputs]
            own = dict(self.own.items()).get(layer.name)
            values[layer.name] = digital_layers.apply(layer, *given) if own is None else own(*given)
        return values[self.layers[-1].name]

    def network(self, network: Network) -> Network:
        """Return the network with the weights as they are."""
        layers = []
        for layer in network.layers:
            if layer.name not in self.own:
                layers.append(layer)
                continue
            weight, bias = self.own[layer.name].get_weights()
            held = {"weight": weight.detach().double().numpy().reshape(layer.weight.shape)}
            if bias is not None:
                held["bias"] = bias.detach().double().numpy()
            layers.append(replace(layer, **held))
        return Network(network.name, network.input_shape, network.classes, tuple(layers), network.card)


def tuned(network: Network, train: Any, bits: int | None, seed: int, epochs: int) -> Network:
    """Fine-tune a network with folded batch norms: the steps, images and rates of `fine_tune`."""
    torch.manual_seed(seed)
    module = Analog(network, bits).train()
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    total = epochs * -(-len(train.images) // BATCH)
    done = 0
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([seed, epoch]).permutation(len(train.images))
        for first in range(0, len(order), BATCH):
            some = order[first : first + BATCH]
            for group in optimiser.param_groups:
                group["lr"] = RATE * 0.5 * (1.0 + np.cos(np.pi * done / total))
            outputs = module(torch.tensor(train.images[some], dtype=torch.float32))
            loss = functional.cross_entropy(outputs, torch.as_tensor(train.labels[some]))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            done += 1
    return module.eval().network(network)


def main() -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results/training_comparison"))
    parser.add_argument("--wires", type=int, nargs="+", default=[20])
    parser.add_argument("--bits", type=int, nargs="+", default=[3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ideal-outputs", action="store_true")
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    network = mapping.load_model("vgg-digits")
    train, test = mapping.load_dataset("digits", "train"), mapping.load_dataset("digits")
    folded = mapping.compile_network(network, mapping.load_hardware("ideal"), train.images[:8]).folded
    results = asked.folder / "results.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    way = WAYS[asked.ideal_outputs]
    known = {(each["wires"], each["bits"], each["seed"]) for each in done if each["way"] == way}
    for times, bits, seed in ((w, b, s) for b in asked.bits for w in asked.wires for s in asked.seeds):
        if (times, bits, seed) in known:
            continue
        start = time.process_time()
        found = tuned(folded, train, None if asked.ideal_outputs else bits, seed, asked.epochs)
        hardware = description(times, bits, compensate=True)
        row = {
            "model": "vgg-digits", "wires": times, "bits": bits, "seed": seed, "way": way,
            "accuracy": accuracy(found, hardware, train.images[:128], test, seed), "test_images": len(test.images),
            "steps": asked.epochs * -(-len(train.images) // BATCH), "v_read": READ, "v_gate_max": GATE,
            "exact_accuracy": float((found.forward(test.images).argmax(1) == test.labels).mean()),
            "cpu_seconds": round(time.process_time() - start, 1),
        }  # fmt: skip
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


if __name__ == "__main__":
    main()
