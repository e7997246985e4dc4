"""Time of a training step through the chip over that of the same step with noise injected into the weights.

``python -m benchmarks.training_step [--model dvgg-digits] [--steps 9] [--every 10] [--set KEY=VALUE …]``: forward,
backward and Adam on 64 images. Injected noise is the usual way of training for a chip, as with CrossSim in PyTorch: the
exact network with normal noise on every weight, new in every step. A step through the chip either follows the cells
from the last solution of the wires, or solves all wires anew; one step in `--every` does the latter. The steps are
called in turn, and their medians are compared in processor time, so that a busy machine disturbs them alike.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

import mapping
from benchmarks.training_comparison import Injected
from mapping.training.chip_module import ChipModule

BATCH = 64  # images of a step


def step_of(module: ChipModule, images: Any, labels: Any) -> Callable[[], None]:
    """Return one training step of a module."""
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-6)  # so small that the steps stay alike
    module.train()

    def step() -> None:
        loss = functional.cross_entropy(module(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def seconds(call: Callable[[], None]) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="dvgg-digits")
    parser.add_argument("--chip", default="adaptive2d")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--solved", type=int, default=1, help="steps with a solution of all wires")
    parser.add_argument("--every", type=int, default=10, help="steps from one solution to the next")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    network = mapping.load_model(asked.model)
    train = mapping.load_dataset(network.card.get("dataset", "digits"), "train", limit=128)
    images = torch.as_tensor(train.images[:BATCH], dtype=torch.float32)
    labels = torch.as_tensor(train.labels[:BATCH])
    program = mapping.compile_network(network, mapping.load_hardware(asked.chip).with_values(asked.set), train.images)
    exact = mapping.compile_network(network, mapping.load_hardware("ideal"), train.images[:8])
    chip = ChipModule(program, reduce_every=1_000_000)
    through = step_of(chip, images, labels)
    injected = step_of(Injected(exact, chip=mapping.write(exact)), images, labels)
    solved = []
    for _ in range(asked.solved):
        chip.forwards = 0
        solved.append(seconds(through))
    injected()
    through()
    times = np.array([[seconds(injected), seconds(through)] for _ in range(asked.steps)])
    noise, between = np.median(times, axis=0)
    whole = float(np.median(solved))
    mean = (whole + (asked.every - 1) * between) / asked.every
    print(f"{asked.model}, {BATCH} images, processor time of a step:")
    print(f"noise injected into the weights  {1e3 * noise:8.0f} ms")
    print(f"through the chip, between        {1e3 * between:8.0f} ms, {between / noise:.2f} times")
    print(f"through the chip, wires solved   {1e3 * whole:8.0f} ms, {whole / noise:.1f} times")
    print(f"solved every {asked.every}th step, mean     {1e3 * mean:8.0f} ms, {mean / noise:.2f} times")


if __name__ == "__main__":
    main()
