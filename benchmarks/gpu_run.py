"""Agreement and time of a chip's run on a card against the processor's: prepared for a machine with a card.

``python -m benchmarks.gpu_run [--model dvgg-digits] [--images 450] [--device cuda]``, within 8 minutes. It writes a
chip, runs the test images by the package's kernels and by torch on the card, prints the largest difference of the
outputs, how many differ by more than 1e-4 of the largest and how many predictions differ, images per second of both,
then the seconds of a training step on the card and on the processor, between and with reductions of the wires.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

import mapping
from mapping.training.chip_module import ChipModule
from mapping.training.device_run import run_on_device
from mapping.training.devices_of_torch import check_device


def seconds(call: Callable[[], object], device: str) -> float:
    """Return the seconds of a call, the card's work included."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Print agreement and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="dvgg-digits")
    parser.add_argument("--images", type=int, default=450)
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    check_device(asked.device, "--device")
    network = mapping.load_model(asked.model)
    name = network.card.get("dataset", "digits")
    test, train = mapping.load_dataset(name, limit=asked.images), mapping.load_dataset(name, "train", limit=128)
    program = mapping.compile_network(network, "adaptive2d", train.images)
    chip = mapping.write(program, 0)

    exact = mapping.run(chip, test.images).logits
    mine = seconds(lambda: mapping.run(chip, test.images), "cpu")
    got = run_on_device(chip, test.images, asked.device)
    card = seconds(lambda: run_on_device(chip, test.images, asked.device), asked.device)
    off, size = np.abs(got - exact), np.abs(exact).max()
    print(f"largest difference of an output: {off.max() / size:.1e} of the largest output")
    print(f"outputs that differ by more than 1e-4 of it: {np.mean(off > 1e-4 * size):.2%}")
    print(f"predictions that differ: {np.sum(got.argmax(1) != exact.argmax(1))} of {len(exact)}")
    print(f"run: {len(exact) / mine:.0f} images/s by the kernels, {len(exact) / card:.0f} on {asked.device}")

    images, labels = torch.as_tensor(train.images[:64]), torch.as_tensor(train.labels[:64])
    for device in dict.fromkeys(("cpu", asked.device)):
        module = ChipModule(program, 0, chip=chip, reduce_every=1_000).to(device).train()

        def step(module: ChipModule = module, device: str = device) -> None:
            loss = torch.nn.functional.cross_entropy(module(images.to(device)), labels.to(device))
            loss.backward()

        first = seconds(step, device)
        step()
        between = np.median([seconds(step, device) for _ in range(5)])
        print(f"training step of 64 images on {device}: {first:.2f} s with all wires solved, {between:.3f} s between")


if __name__ == "__main__":
    main()
