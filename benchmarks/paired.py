"""Compare the predictions of two networks on chips, image by image.

    crossgate run vgg-cifar10 --chip two_terminal --seed 0 --out OUT/vgg-0 …
    python -m benchmarks.paired --first OUT/vgg-0 OUT/vgg-1 --second OUT/dvgg-0 OUT/dvgg-1

Each folder contains the predictions.csv of one chip, all for the same images in the same order.  Prints JSON: the
accuracy of every chip, mean and standard deviation over the chips of each network, and the difference of the means with
a 95 % interval from a bootstrap over images, with the same images for both.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

DRAWS = 10_000  # bootstrap resamples
TOGETHER = 500  # resamples computed at once


def right(folder: Path, column: str = "chip") -> np.ndarray:
    """Whether each image (n,) of a run was classified correctly."""
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        return np.array([row[column] == row["label"] for row in csv.DictReader(file)])


def interval(gain: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of the mean of (n,) by the bootstrap."""
    drawn = [gain[rng.integers(0, len(gain), (TOGETHER, len(gain)))].mean(axis=1) for _ in range(DRAWS // TOGETHER)]
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5])
    return float(low), float(high)


def compared(first: list[np.ndarray], second: list[np.ndarray], rng: np.random.Generator) -> dict[str, object]:
    """Compare the correct answers (n,) of several chips of each network."""
    if len({len(each) for each in first + second}) != 1:
        raise SystemExit(
            f"runs must be of the same images, got {sorted({len(each) for each in first + second})} images"
        )
    sides = {
        name: {
            "chips": [float(each.mean()) for each in held],
            "mean": float(np.mean(held)),
            "deviation": float(np.std([each.mean() for each in held], ddof=1)) if len(held) > 1 else None,
        }
        for name, held in (("first", first), ("second", second))
    }
    gain = np.mean(second, axis=0) - np.mean(first, axis=0)
    low, high = interval(gain, rng)
    return {"images": len(gain), **sides, "difference": float(gain.mean()), "low": low, "high": high}


def main() -> None:
    """Read the command line, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--second", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    first, second = ([right(folder) for folder in folders] for folders in (options.first, options.second))
    found = compared(first, second, np.random.default_rng(options.seed))
    exact = [float(right(folders[0], "exact").mean()) for folders in (options.first, options.second)]
    print(json.dumps({"exact": exact, **found}, indent=1))


if __name__ == "__main__":
    main()
