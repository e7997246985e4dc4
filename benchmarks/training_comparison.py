"""What fine-tuning through the exact chip is worth: digits on chips with worse wires, converters and gates.

``python -m benchmarks.training_comparison [--folder FOLDER] [--minutes N]``: four networks on each chip,
(a) as trained, wires not compensated; (b) as trained, wires compensated by the compiler; (c) fine-tuned with noise
injected into its weights, as usual tools do, then as (b); (d) fine-tuned through the exact chip, wires compensated.
(c) and (d) take the same steps on the same images in the same order. One JSON line per chip, seed and way in
FOLDER/results.jsonl; a run that was stopped goes on where it was.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mapping
from mapping.hardware.description import Hardware
from mapping.networks.graph import Network
from mapping.training.chip_module import ChipModule
from mapping.training.fine_tuning import Images, Schedule, fine_tune

WIRES = (4, 10, 20)  # times the segments of adaptive2d
BITS = (6, 5, 3)
RATE = 1e-3  # first learning rate of (c) and (d)
GATE_BITS = 4
NODES = 6  # gate nodes of all chips here: half of the time, and 1e-3 of the largest entry
INJECTED = 0.05  # standard deviation of the injected noise over each output's largest weight, ours


class Injected(ChipModule):
    """The exact network, with normal noise on every weight and image of a batch: no wires, no cells, no converters."""

    def _multiply(self, matrix: Any, rows: Any, asked: Any, shares: Any, indices: Any) -> Any:
        encoded = self.encoded[matrix.name]
        w = encoded.weights(self._weight(encoded.layer, encoded.part))
        largest = w.detach().abs().amax(dim=(0, 1))
        if self.training:
            w = w + INJECTED * largest * torch.randn_like(w)
        mixed = w[0] if shares is None else torch.einsum("bk,krn->brn", shares.to(w.dtype), w)
        out = torch.matmul(rows, mixed).transpose(1, 2)
        bias = encoded.bias(self._weight(encoded.layer, encoded.part, "bias"))
        if bias is None:
            return out
        return out + (bias[None] if shares is None else shares.to(self.kind) @ bias)[:, :, None]

    def _adjusted(self, name: str, output: Any) -> Any:
        return output

    def refresh(self, seed: int | None = None) -> None:
        """Nothing is written."""


def chips() -> Iterator[tuple[int, int]]:
    """Wires and converter bits of each chip, the hardest first."""
    for bits in BITS[::-1]:
        for times in WIRES[::-1]:
            yield times, bits


def description(times: int, bits: int, *, compensate: bool) -> Hardware:
    """Return a chip description."""
    base = mapping.load_hardware("adaptive2d")
    return base.with_values([
        f"wires.r_row={times * base.wires.r_row}", f"wires.r_column={times * base.wires.r_column}",
        f"adc.bits={bits}", f"gate_dac.bits={GATE_BITS}", f"tile.gate_nodes={NODES}",
        f"tile.compensate_wires={str(compensate).lower()}",
    ])  # fmt: skip


def accuracy(network: Network, hardware: Hardware, calibration: Any, test: Any, seed: int) -> float:
    """Return the accuracy of a network on one written chip, by `run`."""
    program = mapping.compile_network(network, hardware, calibration)
    result = mapping.run(mapping.write(program, seed), test.images, seed=seed)
    return float((result.logits.argmax(1) == test.labels).mean())


def main() -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results/training_comparison"))
    parser.add_argument("--model", default="vgg-digits")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--reduce-every", type=int, default=17)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.folder.mkdir(parents=True, exist_ok=True)
    results = asked.folder / "results.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    known = {(each["model"], each["wires"], each["bits"], each["seed"], each["way"]) for each in done}
    network = mapping.load_model(asked.model)
    train, validation, test = (mapping.load_dataset("digits", split) for split in ("train", "validation", "test"))
    calibration = train.images[:128]
    images, held = Images(train.images, train.labels), Images(validation.images, validation.labels)
    begin = time.monotonic()
    for (times, bits), seed in product(chips(), range(asked.seeds)):
        for way in ("as trained", "compensated", "noise injected", "exact chip"):
            if (asked.model, times, bits, seed, way) in known or time.monotonic() - begin > 60.0 * asked.minutes:
                continue
            start = time.process_time()
            hardware = description(times, bits, compensate=way != "as trained")
            schedule = Schedule(epochs=asked.epochs, seed=seed, rate=RATE)
            tuned = network
            if way == "noise injected":
                torch.manual_seed(seed)
                program = mapping.compile_network(network, mapping.load_hardware("ideal"), calibration[:8])
                module = Injected(program, seed, chip=mapping.write(program, seed))
                fine_tune(module, images, held, schedule)
                tuned = module.network()
            elif way == "exact chip":
                program = mapping.compile_network(network, hardware, calibration)
                module = ChipModule(program, seed, reduce_every=asked.reduce_every)
                fine_tune(module, images, held, schedule)
                tuned = module.network()
            found = accuracy(tuned, hardware, calibration, test, seed)
            row = {
                    "model": asked.model, "wires": times, "bits": bits, "seed": seed, "way": way, "accuracy": found,
                    "cpu_seconds": round(time.process_time() - start, 1),
                }  # fmt: skip
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
    table(results, asked.model)


def table(results: Path, model: str) -> None:
    """Print mean accuracies over seeds as a table."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    rows = [row for row in rows if row["model"] == model]
    ways = ("as trained", "compensated", "noise injected", "exact chip")
    print("| wires | bits | seeds | " + " | ".join(ways) + " |\n|---|---|---|" + "---|" * len(ways))
    for times, bits in chips():
        cells, seeds = [], 0
        for way in ways:
            found = [r["accuracy"] for r in rows if (r["wires"], r["bits"], r["way"]) == (times, bits, way)]
            seeds = max(seeds, len(found))
            cells.append(f"{100 * np.mean(found):.2f} %" if found else "")
        print(f"| × {times} | {bits} | {seeds} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
