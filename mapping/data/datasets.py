"""Images with labels: the bundled digits, a folder of arrays, and the official files of CIFAR-10.

Pixels are float64 in [0, 1], of shape (n, channel, height, width). The same split of the same data always holds the
same images in the same order.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.checks import array, whole
from devices.errors import ParameterError
from mapping.data import cifar10
from mapping.data.folders import read_folder
from mapping.files.downloads import Progress

SPLITS = ("train", "validation", "test")
BUNDLED = ("digits", "negatives")  #: data sets that need no folder
NAMES = (*BUNDLED, "cifar10")  #: data sets known by name

DIGITS = Path(__file__).with_name("digits.npz")  #: the bundled data set

CIFAR10_CLASSES = cifar10.CLASSES


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set.

    Raises ParameterError if images, labels and classes do not match or a pixel is outside [0, 1].
    """

    images: FloatArray  #: (n, c, h, w), pixels in [0, 1]
    labels: IntArray | FloatArray  #: (n,), index into `classes`; or (n, outputs) numbers that a network should give
    classes: tuple[str, ...]  #: names of the classes, or of the outputs
    name: str  #: of the data set
    split: str  #: "train", "validation" or "test"
    source: str  #: folder or origin of the data, for messages

    def __post_init__(self) -> None:
        images = array("images", self.images, shape=(None, None, None, None), minimum=0.0)
        if images.size == 0:
            raise ParameterError(f"{self.name} has no images in {self.source}")
        if images.max() > 1.0:
            raise ParameterError(f"pixels of {self.name} must be at most 1, got {images.max():g} in {self.source}")
        labels = np.asarray(self.labels)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "classes", tuple(self.classes))
        if labels.dtype.kind == "f":
            shape = (len(images), len(self.classes))
            object.__setattr__(self, "labels", array(f"labels of {self.name}", labels, shape=shape))
            return
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            raise ParameterError(
                f"{self.name} needs one whole number per image as label, "
                f"got {labels.dtype} of shape {labels.shape} for {len(images)} images in {self.source}"
            )
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise ParameterError(
                f"labels of {self.name} must be from 0 to {len(self.classes) - 1}, "
                f"got {labels.min()} to {labels.max()} in {self.source}"
            )
        object.__setattr__(self, "labels", labels.astype(np.int64))

    @property
    def numbers(self) -> bool:
        """Whether labels are numbers that a network should give, and not classes."""
        return self.labels.dtype.kind == "f"

    @property
    def class_numbers(self) -> IntArray:
        """Labels (n,) of classes as whole numbers."""
        return self.labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, indices: IntArray) -> "Dataset":
        """Return the images of these numbers, with their labels."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {self.split!r}, images <{self.images.shape}>, source={self.source!r})"


def load_dataset(
    name: str,
    split: str = "test",
    data_dir: str | os.PathLike[str] | None = None,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Load a split of a data set, or its first `limit` images.

    data_dir: a folder with images.npy (n, c, h, w), uint8 or float in [0, 1], and labels.npy, whole numbers (n,) or
    floats (n, outputs), or in another form that docs/data.md lists; or, for "cifar10", the official files, binary or
    Python version, in the folder itself or in cifar-10-batches-bin or cifar-10-batches-py below it. Without data_dir:
    the bundled "digits"; "negatives", which are the digits with every second image as a negative; or "cifar10" from the
    cache, downloaded if it is missing.  progress: called with the bytes downloaded so far and the bytes in all.
    classes: names of the classes if the folder gives none; default: those of the data set, or "0", "1", ….
    The validation images of CIFAR-10 are the tenth of each class's training images whose pixels have the smallest
    CRC-32, so they do not depend on the order of the images in a copy.
    Raises ParameterError if there is no such data, the files are unsound, or limit exceeds the split.
    """
    if split not in SPLITS:
        raise ParameterError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if limit is not None:
        limit = whole("limit", limit, minimum=1)
    if data_dir is not None:
        data = _from_folder(name, split, Path(data_dir), limit, classes)
    elif name in BUNDLED:
        data = _digits(split, limit)
        data = _negatives(data) if name == "negatives" else data
    elif name == "cifar10":
        data = _from_folder(name, split, cifar10.obtain(progress), limit, None)
    else:
        raise ParameterError(f"there is no data set {name!r} without a data folder; known: {', '.join(NAMES)}")
    if limit is not None and len(data) < limit:
        raise ParameterError(f"the {split} split of {name} has {len(data)} images, {limit} were asked for")
    return data


def _digits(split: str, limit: int | None) -> Dataset:
    """Return a split of the bundled digits, in the order of the file."""
    path = DIGITS
    with np.load(path, allow_pickle=False) as held:
        ends = np.cumsum(held["sizes"], dtype=np.int64)
        part = SPLITS.index(split)
        chosen = held["order"][ends[part] - held["sizes"][part] : ends[part]][:limit]
        images, labels = held["images"][chosen, None], held["labels"][chosen]
    return Dataset(
        images=images / 16.0,  # the files count ink in 4 × 4 squares: 0 to 16
        labels=labels.astype(np.int64),
        classes=tuple("0123456789"),
        name="digits",
        split=split,
        source="UCI optical digits, bundled",
    )


def _negatives(data: Dataset) -> Dataset:
    """Return the digits with every second image as a negative: 1 - pixel."""
    images = data.images.copy()
    images[1::2] = 1.0 - images[1::2]
    return replace(data, images=images, name="negatives", source=f"{data.source}, every second one as a negative")


def _from_folder(name: str, split: str, folder: Path, limit: int | None, classes: Sequence[str] | None) -> Dataset:
    """Load a folder: the official files if CIFAR-10 is asked for and they exist, else images of the user's own."""
    if name == "cifar10" and folder.is_dir():
        paths = cifar10.find(folder, "test" if split == "test" else "train")
        if paths is not None:
            return _cifar10(split, paths, limit)
    try:
        found = read_folder(folder, split, limit)
    except ParameterError as error:
        official = "; or the files data_batch_1 to test_batch of CIFAR-10's binary or Python version"
        raise ParameterError(f"{error}{official if name == 'cifar10' and 'expected' in str(error) else ''}") from None
    except MemoryError:
        raise ParameterError(f"the images in {folder} do not fit into memory; keep fewer of them in a file") from None
    known: dict[str, Sequence[str]] = {**dict.fromkeys(BUNDLED, "0123456789"), "cifar10": CIFAR10_CLASSES}
    named = found.classes or classes or known.get(name)
    if found.labels.dtype.kind == "f":
        shape = found.labels.shape
        if named is not None and len(named) != shape[1]:
            given = f"{found.labels.dtype} of shape {shape if shape[1] > 1 else shape[:1]}"
            raise ParameterError(
                f"labels in {folder} must be a whole number for each image, or a float for each of the {len(named)} "
                f"outputs, got {given}"
            )
        outputs = named or [str(i) for i in range(shape[1])]
        return Dataset(found.images, found.labels, tuple(outputs), name, split, str(folder))
    if named is None:
        named = [str(i) for i in range(int(found.labels.max()) + 1)]
    if int(found.labels.max()) >= len(named):
        raise ParameterError(
            f"labels in {folder} must be from 0 to {len(named) - 1}, as there are {len(named)} classes, "
            f"got {found.labels.min()} to {found.labels.max()}; labels that are not classes must be floats"
        )
    return Dataset(found.images, found.labels.astype(np.int64), tuple(named), name, split, str(folder))


def _cifar10(split: str, paths: list[Path], limit: int | None) -> Dataset:
    """Read official files of the training or the test images."""
    records = cifar10.read(paths)
    if split != "test":
        held_out = cifar10.held_out(records)
        records = records[held_out if split == "validation" else ~held_out]
    records = records[:limit]
    return Dataset(
        images=records[:, 1:].reshape(-1, 3, 32, 32) / 255.0,
        labels=records[:, 0].astype(np.int64),
        classes=cifar10.CLASSES,
        name="cifar10",
        split=split,
        source=str(paths[0].parent),
    )
