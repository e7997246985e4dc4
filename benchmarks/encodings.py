"""What encodings and converters do to a static network: accuracy, energy and area on the same images and chips.

    python -m benchmarks.encodings vgg-digits

Prints the two tables of docs/equations/encoding.md, section 9, and docs/equations/periphery.md, section 8.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mapping.data.datasets import load_dataset
from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.networks.models import load_model
from mapping.presentation.quantities import si
from mapping.report.pricing import price
from mapping.report.report import Report
from mapping.workflow.compiling import compile_network
from mapping.workflow.images import CALIBRATION_IMAGES
from mapping.workflow.writing import write

#: encoding, slices and levels of a cell
ENCODINGS = (
    ("differential", 1, None), ("offset", 1, None), ("differential", 8, 2), ("differential", 4, 4),
    ("differential", 2, 16), ("differential", 4, 2), ("differential", 2, 4), ("differential", 1, 16), ("offset", 8, 2),
    ("offset", 4, 4), ("offset", 2, 16), ("differential", 1, 4), ("differential", 1, 2), ("offset", 1, 3),
    ("offset", 1, 2),
)  # fmt: skip
ERRORS = (
    (), ("adc.comparator_noise=0.002",), ("adc.comparator_noise=0.004",), ("adc.comparator_noise=0.008",),
    ("adc.comparator_noise=0.016",), ("adc.comparator_noise=0.032",), ("adc.gain_error=0.02",), ("adc.inl=1",),
    ("adc.circuit=flash", "adc.dnl=0.5"), ("adc.circuit=sar", "adc.dnl=0.5"), ("adc.circuit=ramp", "adc.dnl=0.5"),
    ("adc.circuit=pipelined", "adc.dnl=0.5"), ("dac.gain_error=0.02",),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Accuracies of several chips of one description, and the report of the first."""

    accuracies: tuple[float, ...]
    report: Report

    @property
    def accuracy(self) -> str:
        """Mean and range over the chips."""
        low, high = min(self.accuracies), max(self.accuracies)
        return f"{np.mean(self.accuracies):.1%} ({low:.1%} … {high:.1%})"


def measured(model: str, settings: Iterable[str], chips: int, base: str = "adaptive2d") -> Measured:
    """Run the whole test split on chips of seeds 0, 1, …."""
    network = load_model(model)
    name = str(network.card.get("dataset", "digits"))
    training, test = load_dataset(name, "train", limit=CALIBRATION_IMAGES), load_dataset(name, "test")
    program = compile_network(network, load_hardware(base).with_values(settings), training.images)
    reports = [price(run(write(program, seed), test.images, seed=seed), test.labels) for seed in range(chips)]
    return Measured(tuple(each.accuracy_chip or 0.0 for each in reports), reports[0])


def encodings(model: str, chips: int) -> str:
    """Return the table of the encodings."""
    lines = [
        "| encoding | slices | levels | ideal chip | default chip | energy | area of the cells | area |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for encoding, slices, levels in ENCODINGS:
        shown = "ideal" if levels is None else levels
        settings = [f"tile.encoding={encoding}", f"tile.slices={slices}", f"tile.levels={shown}"]
        ideal, real = measured(model, settings, 1, "ideal"), measured(model, settings, chips)
        areas = [1e6 * each for each in (real.report.area_by_component_m2["cells"], real.report.area_m2)]
        lines.append(
            f"| {encoding} | {slices} | {shown} | {ideal.accuracies[0]:.1%} | {real.accuracy} | "
            f"{si(real.report.energy_J_per_image, 'J')} | {areas[0]:.3f} mm² | {areas[1]:.2f} mm² |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def converters(model: str, chips: int) -> str:
    """Return the table of the converters' errors."""
    lines = ["| errors | effective bits | accuracy | energy of the converters |", "|---|---|---|---|"]
    for settings in ERRORS:
        adc = load_hardware("adaptive2d").with_values(settings).adc
        found = measured(model, settings, chips)
        joules = sum(layer.energy_by_component_J["adc"] for layer in found.report.layers)
        named = ", ".join(f"`{each}`" for each in settings) or "none"
        lines.append(f"| {named} | {adc.effective_bits():.2f} | {found.accuracy} | {si(joules, 'J')} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="vgg-digits")
    parser.add_argument("--chips", type=int, default=3)
    given = parser.parse_args()
    encodings(given.model, given.chips)
    converters(given.model, given.chips)


if __name__ == "__main__":
    main()
