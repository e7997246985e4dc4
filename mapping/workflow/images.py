"""The images that a network is compiled and run with."""

import os
from collections.abc import Callable

from devices.errors import ParameterError
from mapping.data.datasets import Dataset, load_dataset
from mapping.networks.graph import Network

CALIBRATION_IMAGES = 128  # from the training split, ours


def images_of(
    network: Network,
    folder: str | os.PathLike[str] | None = None,
    *,
    split: str = "test",
    images: int | None = None,
    calibration: int = CALIBRATION_IMAGES,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Dataset, Dataset]:
    """Load calibration images, of the training split, and the images to run, of another one, of a network's data set.

    folder: of the images; without it the bundled, cached or downloaded ones.  images: how many of the split, None for
    all.  calibration: how many of the training split, fewer if it has fewer.  progress: called with the bytes of a
    download that are done and those there are.
    Raises ParameterError if there are no such images or their shape is not the network's.
    """
    name = str(network.card.get("dataset", "digits"))
    test = load_dataset(name, split, folder, limit=images, progress=progress)
    if test.images.shape[1:] != network.input_shape:
        raise ParameterError(
            f"the images of {test.source} have shape {test.images.shape[1:]}, but {network.name} takes "
            f"{network.input_shape}"
        )
    try:
        training = load_dataset(name, "train", folder, limit=calibration)
    except ParameterError:  # fewer than that: all of them
        training = load_dataset(name, "train", folder)
    return training, test
