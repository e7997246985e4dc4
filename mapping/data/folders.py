"""Images of the user's own: arrays, IDX files or pictures in a folder, read as one split.

n = images, c = channels, h = height, w = width
"""

import struct
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.data.array_files import plain, read_idx, read_npy, read_npz
from mapping.files.regular_files import open_regular

MOST_CLASSES = 100_000  # ours; ImageNet-21k has 21,841
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SIXTEEN_BITS = 65535.0  #: largest grey of a picture with more than eight bits
IDX_PARTS = {"train": "train", "test": "t10k"}  #: first words in the names of MNIST's files, by split
#: names of the arrays in a .npz file; {} stands for the split
NPZ_NAMES = (("images", "labels"), ("x_{}", "y_{}"), ("{}_images", "{}_labels"))
EXPECTED = (
    "images.npy with (n, channels, height, width) pixels and labels.npy with n whole numbers, a .npz file of the two, "
    "MNIST's IDX files, or one folder of pictures for each class"
)


class Found(NamedTuple):
    """Images and labels of a folder."""

    images: FloatArray  #: (n, c, h, w) in [0, 1]
    labels: npt.NDArray[Any]  #: (n,) whole numbers, or (n, outputs) float64
    classes: tuple[str, ...] | None  #: names of the classes; None if the folder gives none


def read_folder(place: Path, split: str, limit: int | None = None) -> Found:
    """Read the images and labels of a split, or its first `limit` images, from a folder or a .npz file.

    A folder may have one folder for each split, or files whose names contain the split. Otherwise its images are used
    for any split.
    Raises ParameterError if there are no images or they are unsound.
    """
    if place.suffix == ".npz" and place.is_file():
        return _archive(place, split, limit)
    if not place.is_dir():
        raise ParameterError(f"there is no folder {place}; expected one with {EXPECTED}")
    below = place / split
    if below.is_dir():
        return read_folder(below, split, limit)
    if (place / "images.npy").is_file() or (place / "labels.npy").is_file():
        return _arrays(place, limit)
    idx = _idx_files(place, split)
    if idx is not None:
        images, labels = (read_idx(path) for path in idx)
        return _checked(images, labels, str(idx[0]), str(idx[1]), limit)
    archives = sorted(place.glob("*.npz"))
    if len(archives) == 1:
        return _archive(archives[0], split, limit)
    folders = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    if folders:
        return _pictures(place, folders, limit)
    raise ParameterError(f"{place} has no images.npy and no labels.npy; expected {EXPECTED}")


def _arrays(folder: Path, limit: int | None) -> Found:
    missing = [file for file in ("images.npy", "labels.npy") if not (folder / file).is_file()]
    if missing:
        raise ParameterError(f"{folder} has no {' and no '.join(missing)}; expected {EXPECTED}")
    images, labels = read_npy(folder / "images.npy"), read_npy(folder / "labels.npy")
    return _checked(images, labels, str(folder / "images.npy"), str(folder / "labels.npy"), limit)


def _archive(path: Path, split: str, limit: int | None) -> Found:
    held = read_npz(path)
    for names in NPZ_NAMES:
        images, labels = (name.format(split) for name in names)
        if images in held and labels in held:
            there = f"{images} of {path}", f"{labels} of {path}"
            return _checked(held[images], held[labels], *there, limit)
    wanted = ", ".join(f"{a.format(split)} and {b.format(split)}" for a, b in NPZ_NAMES)
    raise ParameterError(f"{path} has the arrays {', '.join(sorted(held)) or 'none'}; expected one pair of {wanted}")


def _idx_files(folder: Path, split: str) -> tuple[Path, Path] | None:
    """Return MNIST's files (images, labels) of a split; None if the folder has no IDX files."""
    there = [path for path in folder.iterdir() if "-idx" in path.name or ".idx" in path.name]
    if not there:
        return None
    if split not in IDX_PARTS:
        raise ParameterError(f"the IDX files in {folder} have a train and a test split, but no {split} split")
    found = []
    for part in ("images", "labels"):
        mine = [path for path in there if path.name.startswith(f"{IDX_PARTS[split]}-{part}")]
        if not mine:
            raise ParameterError(f"{folder} has no {IDX_PARTS[split]}-{part} among its IDX files")
        found.append(min(mine))
    return found[0], found[1]


def _pictures(place: Path, folders: list[Path], limit: int | None) -> Found:
    """Read one folder of pictures for each class, in the order of names; a limit takes the classes in turn."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ParameterError(
            f"pictures in {place} need Pillow, which is not installed: pip install 'crossgate[images]'"
        ) from None
    files = [sorted(path for path in each.iterdir() if path.suffix.lower() in PICTURES) for each in folders]
    empty = [folder.name for folder, paths in zip(folders, files, strict=True) if not paths]
    if empty:
        raise ParameterError(f"{place} has no pictures in {', '.join(empty[:5])}; expected {EXPECTED}")
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    unsound = (OSError, UnidentifiedImageError, ValueError, SyntaxError, EOFError, MemoryError, struct.error, *bombs)
    turns = sorted((at, label, path) for label, paths in enumerate(files) for at, path in enumerate(paths))
    pixels: list[npt.NDArray[Any]] = []
    for _, _, path in turns[:limit]:
        try:
            with warnings.catch_warnings(), open_regular(path) as file, Image.open(file) as picture:
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                held = _pixels(picture, path)
        except unsound as error:
            raise ParameterError(f"{path} is not a sound picture: {plain(str(error))}") from None
        if pixels and held.shape != pixels[0].shape:
            raise ParameterError(
                f"{path} has shape {held.shape} (channels, height, width), the pictures before it {pixels[0].shape}; "
                "all must have one shape"
            )
        pixels.append(held)
    labels = np.array([label for _, label, _ in turns[:limit]], dtype=np.int64)
    scaled = [each / 255.0 if each.dtype == np.uint8 else each for each in pixels]
    return Found(np.stack(scaled), labels, tuple(each.name for each in folders))


def _pixels(picture: Any, path: Path) -> npt.NDArray[Any]:  # noqa: ANN401 - Pillow may be missing
    """Return the pixels (c, h, w) of a picture, uint8, or float64 in [0, 1] where it has more than eight bits a pixel.

    Pillow's own conversion of such a picture to eight bits clips it at 255.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        held = np.asarray(picture).astype(np.float64)[None]
        most = 1.0 if picture.mode == "F" else SIXTEEN_BITS
        low, high = float(held.min()), float(held.max())
        if not (low >= 0.0 and high <= most):
            kind = "floats from 0 to 1" if picture.mode == "F" else "whole numbers of 16 bits"
            raise ParameterError(f"{path} must hold {kind}, got {low:g} to {high:g}")
        return held / most
    grey = picture.mode in ("1", "L", "LA")
    return np.atleast_3d(np.asarray(picture.convert("L" if grey else "RGB"))).transpose(2, 0, 1)


def _checked(
    images: npt.NDArray[Any], labels: npt.NDArray[Any], of_images: str, of_labels: str, limit: int | None
) -> Found:
    """Check images and labels and return the first `limit` of them, with float64 pixels in [0, 1]."""
    if labels.dtype.kind == "f":
        labels = _numbers(labels, of_labels)
    elif labels.dtype.kind not in "iu" or labels.ndim != 1 or len(labels) == 0:
        raise ParameterError(
            f"{of_labels} must hold one whole number for each image, got {labels.dtype} of shape {labels.shape}"
        )
    else:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= MOST_CLASSES:
            raise ParameterError(f"{of_labels} must hold labels from 0 to {MOST_CLASSES - 1}, got {low} to {high}")
    if images.ndim == 3:  # one channel
        images = images[:, None]
    if images.ndim != 4 or images.size == 0 or (images.dtype != np.uint8 and images.dtype.kind != "f"):
        raise ParameterError(
            f"{of_images} must hold (n, channels, height, width) pixels, uint8 or float, "
            f"got {images.dtype} of shape {images.shape}"
        )
    if len(images) != len(labels):
        raise ParameterError(
            f"{of_labels} must hold one whole number for each of the {len(images)} images, got {len(labels)}"
        )
    images, labels = images[:limit], labels[:limit]
    if images.dtype == np.uint8:
        return Found(images / 255.0, labels, None)
    pixels = images.astype(np.float64)
    if not np.all((pixels >= 0.0) & (pixels <= 1.0)):
        raise ParameterError(
            f"{of_images} must hold float pixels from 0 to 1, got {pixels.min():g} to {pixels.max():g}"
        )
    return Found(pixels, labels, None)


def _numbers(labels: npt.NDArray[Any], of_labels: str) -> FloatArray:
    """Return labels that are numbers as float64 (n, outputs)."""
    if labels.ndim not in (1, 2) or labels.size == 0 or not np.all(np.isfinite(labels)):
        raise ParameterError(
            f"{of_labels} must hold finite numbers of shape (n,) or (n, outputs), got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    return labels.reshape(len(labels), -1).astype(np.float64)
