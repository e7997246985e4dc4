"""What fine-tuning through the exact chip is worth, on chips with worse wires, converters and gates.

``python -m benchmarks.training_comparison [--model NAME] [--wires 20 10] [--bits 3 5] [--folder FOLDER]``: four
networks on each chip,
(a) as trained, wires not compensated; (b) as trained, wires compensated by the compiler; (c) fine-tuned with noise
injected into its weights, as usual tools do, then as (b); (d) fine-tuned through the exact chip, wires compensated.
(c) and (d) take the same steps on the same images in the same order. One JSON line per chip, seed and way in
FOLDER/results.jsonl; a run that was stopped goes on where it was. ``--show`` runs nothing and writes the table and
the figure docs/training-comparison.png of what is there.
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

WAYS = ("as trained", "compensated", "noise injected", "exact chip")
WIRES = (4, 10, 20)  # times the segments of adaptive2d
BITS = (6, 5, 3)
RATE = 1e-3  # first learning rate of (c) and (d)
GATE_BITS = 4
READ, GATE = 0.05, 2.0  # [V] row voltage of a full code and upper end of the gate window, whatever the defaults are
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

    def _adjusted(self, name: str, output: Any, axis: int = 1) -> Any:
        return output

    def refresh(self, seed: int | None = None) -> None:
        """Nothing is written."""


def chips(wires: list[int], bits: list[int]) -> Iterator[tuple[int, int]]:
    """Wires and converter bits of each chip, the hardest first."""
    for each in sorted(bits):
        for times in sorted(wires, reverse=True):
            yield times, each


def description(times: int, bits: int, *, compensate: bool) -> Hardware:
    """Return a chip description."""
    base = mapping.load_hardware("adaptive2d")
    return base.with_values([
        f"wires.r_row={times * base.wires.r_row}", f"wires.r_column={times * base.wires.r_column}",
        f"adc.bits={bits}", f"gate_dac.bits={GATE_BITS}", f"tile.gate_nodes={NODES}",
        f"tile.compensate_wires={str(compensate).lower()}", f"dac.v_read={READ}", f"cell.v_gate_max={GATE}",
    ])  # fmt: skip


def accuracy(network: Network, hardware: Hardware, calibration: Any, test: Any, seed: int) -> float:
    """Return the accuracy of a network on one written chip, by `run`."""
    program = mapping.compile_network(network, hardware, calibration)
    result = mapping.run(mapping.write(program, seed), test.images, seed=seed)
    return float((result.logits.argmax(1) == test.labels).mean())


def tuned_network(network: Network, way: str, hardware: Hardware, train: Images, held: Images, asked: Any) -> Network:
    """Return the network that a way makes of a trained one; asked: the seed, steps and reductions."""
    schedule = Schedule(epochs=asked.epochs, seed=asked.seed, rate=RATE)
    calibration = train.images[:128]
    if way == "noise injected":
        torch.manual_seed(asked.seed)
        program = mapping.compile_network(network, mapping.load_hardware("ideal"), calibration[:8])
        module: ChipModule = Injected(program, asked.seed, chip=mapping.write(program, asked.seed))
    elif way == "exact chip":
        program = mapping.compile_network(network, hardware, calibration)
        module = ChipModule(program, asked.seed, reduce_every=asked.reduce_every)
    else:
        return network
    fine_tune(module, train, held, schedule)
    return module.network()


def main() -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results/training_comparison"))
    parser.add_argument("--model", default="vgg-digits")
    parser.add_argument("--wires", type=int, nargs="+", default=WIRES)
    parser.add_argument("--bits", type=int, nargs="+", default=BITS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--reduce-every", type=int, default=17)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, help="folder of the data set, for one that is not bundled")
    parser.add_argument("--train", type=int, help="training images, all without it")
    parser.add_argument("--test", type=int, help="test images, all without it")
    parser.add_argument("--validation", type=int, help="validation images of the log, all without it")
    parser.add_argument("--figure", type=Path, default=Path("docs/training-comparison.png"))
    parser.add_argument("--show", action="store_true", help="table and figure of what is there")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    results = asked.folder / "results.jsonl"
    if asked.show:
        table(results)
        figure(results).savefig(asked.figure, dpi=150)
        return
    torch.set_num_threads(1)
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    known = {(each["model"], each["wires"], each["bits"], each["seed"], each["way"]) for each in done}
    network = mapping.load_model(asked.model)
    name = network.card.get("dataset", "digits")
    train = mapping.load_dataset(name, "train", asked.data, limit=asked.train)
    test = mapping.load_dataset(name, "test", asked.data, limit=asked.test)
    held = mapping.load_dataset(name, "validation", asked.data, limit=asked.validation)
    images, held_out = Images(train.images, train.labels), Images(held.images, held.labels)
    begin = time.monotonic()
    for (times, bits), seed, way in product(chips(asked.wires, asked.bits), asked.seeds, asked.ways):
        if (asked.model, times, bits, seed, way) in known or time.monotonic() - begin > 60.0 * asked.minutes:
            continue
        start = time.process_time()
        asked.seed = seed
        hardware = description(times, bits, compensate=way != "as trained")
        tuned = tuned_network(network, way, hardware, images, held_out, asked)
        row = {
            "model": asked.model, "wires": times, "bits": bits, "seed": seed, "way": way,
            "accuracy": accuracy(tuned, hardware, train.images[:128], test, seed), "test_images": len(test.images),
            "steps": asked.epochs * -(-len(train.images) // 64) if way in WAYS[2:] else 0,
            "v_read": READ, "v_gate_max": GATE, "cpu_seconds": round(time.process_time() - start, 1),
        }  # fmt: skip
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def grouped(results: Path) -> dict[tuple[str, int, int], dict[str, list[float]]]:
    """Accuracies over seeds of each model, wires and bits, by way."""
    found: dict[tuple[str, int, int], dict[str, list[float]]] = {}
    for line in results.read_text().splitlines():
        row = json.loads(line)
        chip = found.setdefault((row["model"], row["bits"], -row["wires"]), {})
        chip.setdefault(row["way"], []).append(row["accuracy"])
    return dict(sorted(found.items(), reverse=True))


def table(results: Path) -> None:
    """Print the mean accuracies over seeds, with the smallest and the largest, as a table."""
    print("| network | wires | converters | chips | " + " | ".join(WAYS) + " |\n|---|---|---|---|" + "---|" * len(WAYS))
    for (model, bits, wires), ways in grouped(results).items():
        cells = []
        for way in WAYS:
            each = 100.0 * np.array(ways.get(way, []))
            cells.append(f"{each.mean():.1f} % ({each.min():.1f}–{each.max():.1f})" if len(each) else "not run")
        count = max(len(each) for each in ways.values())
        print(f"| `{model}` | × {-wires} | {bits} bits | {count} | " + " | ".join(cells) + " |")


def figure(results: Path) -> Any:
    """Return the figure: accuracy of each chip by way, the mean of the seeds as a bar and each seed as a dot."""
    from matplotlib.figure import Figure

    data = grouped(results)
    models = list(dict.fromkeys(model for model, _, _ in data))
    most = max(sum(model == each for model, _, _ in data) for each in models)
    drawn = Figure(figsize=(9.0, 3.0 * len(models)), layout="constrained")
    for axes, model in zip(np.ravel(drawn.subplots(len(models), 1)), models, strict=True):
        mine = {key: ways for key, ways in data.items() if key[0] == model}
        for at, way in enumerate(WAYS):
            for chip, ways in enumerate(mine.values()):
                each = 100.0 * np.array(ways.get(way, []))
                if len(each):
                    x = chip + 0.2 * (at - 1.5)
                    axes.bar(x, each.mean(), 0.18, color=f"C{at}", label=way if chip == 0 else None)
                    axes.plot(np.full(len(each), x), each, "k.", markersize=3)
        axes.set_xticks(range(len(mine)), [f"wires × {-wires}\n{bits} bits" for _, bits, wires in mine])
        axes.set(title=model, ylabel="accuracy [%]", xlim=(-0.6, most - 0.4), ylim=(0.0, 100.0))
    handles, labels = axes.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=len(WAYS), frameon=False)
    return drawn


if __name__ == "__main__":
    main()
