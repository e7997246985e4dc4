"""Pack the UCI optical digits that scikit-learn distributes, with a fixed split, into mapping/data/digits.npz.

Run from the repository's root: python benchmarks/train/pack_digits.py
The split is drawn once (SEED), class by class, so that all parts have the same class frequencies; the file contains it.
"""

import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

SEED = 1998  # the year of the data set; ours
PARTS = {"train": 1047, "validation": 300, "test": 450}
TARGET = Path("mapping/data/digits.npz")


def quotas(counts: np.ndarray, total: int) -> np.ndarray:
    """Distribute `total` images over the classes in proportion to `counts`, by largest remainders."""
    exact = counts * total / counts.sum()
    quota = np.floor(exact).astype(int)
    quota[np.argsort(quota - exact, kind="stable")[: total - quota.sum()]] += 1
    return quota


def split(labels: np.ndarray) -> np.ndarray:
    """Order the images as train, validation, test: class-stratified, each part shuffled."""
    rng = np.random.default_rng(SEED)
    counts = np.bincount(labels)
    test, validation = quotas(counts, PARTS["test"]), quotas(counts, PARTS["validation"])
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for digit in range(counts.size):
        members = rng.permutation(np.flatnonzero(labels == digit))
        cuts = (test[digit], test[digit] + validation[digit])
        for name, chosen in zip(("test", "validation", "train"), np.split(members, cuts), strict=True):
            parts[name].append(chosen)
    return np.concatenate([rng.permutation(np.concatenate(parts[name])) for name in PARTS])


def main() -> None:
    """Write the file."""
    data = load_digits()
    images = data.images.astype(np.uint8)
    assert np.array_equal(images, data.images)
    arrays = {
        "images": images,
        "labels": data.target.astype(np.uint8),
        "order": split(data.target).astype(np.uint16),
        "sizes": np.array(list(PARTS.values()), dtype=np.uint16),
    }
    with zipfile.ZipFile(TARGET, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # no time stamp: the same bytes every time
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


if __name__ == "__main__":
    main()
