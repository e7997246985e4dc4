"""An imported network against the program it comes from: outputs, and the first layer that differs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.graph import Network

AGREEMENT = 1e-5  # largest difference from the other program's outputs, over their largest; ours, for float32 weights
CHECK_IMAGES = 2  # two, so that what mixes images up is seen
SEED = 20250425  # of the images that both sides are run on


@dataclass(frozen=True)
class Comparison:
    """What a comparison found, as it is kept for the next import of the same file."""

    against: str  #: what ran the original
    largest_difference: float


def random_images(network: Network) -> FloatArray:
    """Random images whose pixels are exact in float32."""
    drawn = np.random.default_rng(SEED).uniform(size=(CHECK_IMAGES, *network.input_shape))
    return drawn.astype(np.float32).astype(np.float64)


def difference(network: Network, images: FloatArray, theirs: FloatArray) -> float:
    """Largest difference between a network's outputs and another program's (b, classes), over the largest of those.

    Raises ParameterError if the shapes differ or theirs are not finite.
    """
    ours = network.forward(images)
    theirs = np.asarray(theirs, dtype=np.float64).reshape(len(theirs), -1)
    if ours.shape != theirs.shape or not np.all(np.isfinite(theirs)):
        raise ParameterError(
            f"the imported {network.name} gives {ours.shape} outputs, the original {theirs.shape}, "
            f"{'all' if np.all(np.isfinite(theirs)) else 'not all'} of them finite"
        )
    largest = float(np.abs(theirs).max())
    return float(np.abs(ours - theirs).max()) / (largest or 1.0)


def first_difference(
    network: Network, image: FloatArray, theirs: Iterable[tuple[str, FloatArray]], allowed: float
) -> str | None:
    """Name of the first layer whose output differs from another program's by more than `allowed` of its largest value.

    theirs: for each layer what the other program computes for one image (1, c, h, w), in the order of its graph.
    """
    ours = network.activations(image)
    for name, value in theirs:
        if name not in ours or ours[name].size != value.size:
            continue
        off = float(np.abs(ours[name].reshape(-1) - value.reshape(-1)).max())
        if not off <= allowed * (float(np.abs(value).max()) or 1.0):
            return name
    return None


def checked(network: Network, off: float, runtime: str, allowed: float, where: str | None) -> Network:
    """Return the network with the comparison on its card.

    Raises ParameterError if it differs by more than allowed.
    """
    if not off <= allowed:
        seen = "" if where is None else f"; it begins at layer {where}"
        raise ParameterError(
            f"the imported {network.name} differs from what {runtime} gives by {off:.1e} of its largest output "
            f"(at most {allowed:g}){seen}; check=False imports it all the same"
        )
    return noted(network, {"against": runtime, "largest_difference": off})


def noted(network: Network, check: dict[str, object]) -> Network:
    """Return the network with a comparison on its card."""
    card = {**network.card, "import_check": check}
    return Network(network.name, network.input_shape, network.classes, network.layers, card)
