"""Calibration images and test images of a network."""

import os
from collections.abc import Callable

import numpy as np

from devices.errors import ParameterError
from mapping.data.datasets import Dataset, load_dataset
from mapping.networks.graph import Network

CALIBRATION_IMAGES = 128  # from the training split, ours
HELD_OUT = 5  # one in so many training images is held out where there is no validation split, ours
MOST_HELD = 1000  # images that are judged after each epoch of training, ours
#: data sets and their numbers of classes by the shape of their images, for networks whose card names none
LOOKS_LIKE = {(1, 8, 8): ("digits", 10), (3, 32, 32): ("cifar10", 10)}


def images_of(
    network: Network,
    folder: str | os.PathLike[str] | None = None,
    *,
    split: str = "test",
    images: int | None = None,
    calibration: int = CALIBRATION_IMAGES,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Dataset, Dataset]:
    """Load calibration images (training split) and the images to run (`split`) of a network's data set.

    folder: of the images; default: bundled, cached or downloaded images.  images: number of images of the split; None:
    all.  calibration: number of calibration images, fewer if the split has fewer.  progress: called with the bytes
    downloaded so far and the bytes in all.
    Raises ParameterError if there are no such images, their shape is not the network's, or a label is beyond its
    classes.
    """
    name = data_name(network, folder)
    test = load_dataset(name, split, folder, limit=images, progress=progress, classes=network.classes)
    _check_fit(network, test)
    try:
        training = load_dataset(name, "train", folder, limit=calibration, classes=network.classes)
    except ParameterError:  # the split has fewer: take all
        training = load_dataset(name, "train", folder, classes=network.classes)
    return training, test


def training_images(
    network: Network, folder: str | os.PathLike[str] | None = None, count: int | None = None
) -> tuple[Dataset, Dataset]:
    """Load images to train with, and held-out ones: the validation split, or a fifth of a folder that has none.

    count: how many of the training split, None for all.
    Raises ParameterError if there are no such images, fewer than two, their shape is not the network's, or a
    label is beyond its classes.
    """
    name = data_name(network, folder)
    learnt = load_dataset(name, "train", folder, limit=count, classes=network.classes)
    _check_fit(network, learnt)
    if learnt.numbers:
        raise ParameterError(f"the labels of {learnt.source} must be classes to train with, got floats")
    if folder is None or name == "cifar10":
        held = load_dataset(name, "validation", folder, classes=network.classes)
        return learnt, held.chosen(np.arange(min(len(held), MOST_HELD)))
    if len(learnt) < 2:
        raise ParameterError(f"{learnt.source} must hold at least two images, one to train and one to judge, got 1")
    every = np.arange(len(learnt)) % HELD_OUT == HELD_OUT - 1
    every[-1] = True
    return learnt.chosen(np.flatnonzero(~every)), learnt.chosen(np.flatnonzero(every)[:MOST_HELD])


def data_name(network: Network, folder: str | os.PathLike[str] | None = None) -> str:
    """Return the name of a network's data set: that of its card, or one with images of the same shape.

    Raises ParameterError if the card names none, no folder is given, and no data set has such images and classes.
    """
    named = network.card.get("dataset")
    if named is not None:
        return str(named)
    if folder is not None:
        return "images"
    name, classes = LOOKS_LIKE.get(network.input_shape, ("", 0))
    if classes != len(network.classes):
        raise ParameterError(
            f"{network.name} names no data set, and no known one has images of shape {network.input_shape} and "
            f"{len(network.classes)} classes: give a folder of images with --data"
        )
    return name


def _check_fit(network: Network, data: Dataset) -> None:
    """Raise ParameterError unless images have the network's shape and labels are among its classes."""
    if data.images.shape[1:] != network.input_shape:
        raise ParameterError(
            f"the images of {data.source} have shape {data.images.shape[1:]}, but {network.name} takes "
            f"{network.input_shape}"
        )
    if not data.numbers and int(data.labels.max()) >= len(network.classes):
        raise ParameterError(
            f"the labels of {data.source} go up to {data.labels.max()}, but {network.name} has "
            f"{len(network.classes)} classes, from 0 to {len(network.classes) - 1}; labels that are not classes must "
            "be floats"
        )
