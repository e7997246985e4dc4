"""Networks of other programs: PyTorch modules, their checkpoints, and ONNX files. torch and onnx are extras."""

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from devices.aliases import FloatArray
from devices.checks import whole
from devices.errors import ParameterError
from mapping.networks.graph import Network

if TYPE_CHECKING:
    from mapping.networks.importers.from_torch import Converter


Foreign = Any  # an object of torch, whose classes have no types here

AGREEMENT = 1e-5  # largest difference from the other program's outputs, over their largest; ours, for float32 weights
CHECK_IMAGES = 2  # two, so that what mixes images up is seen
SEED = 20250425  # of the images that both sides are run on


def import_torch(
    module: Foreign,
    input_shape: Sequence[int],
    *,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    card: Mapping[str, Any] | None = None,
    known: Mapping[str, "Converter"] | None = None,
    check: bool = True,
) -> Network:
    """Import a PyTorch module, as it is in evaluation mode.

    input_shape: (c, h, w) of an image.  name: of the network, else that of the module's class.  classes: what the
    outputs stand for, else "0", "1", ….  card: what is known of it, such as {"dataset": "cifar10"}.  known: what
    modules do that cannot be traced, by the name of their class; see docs/import.md.  check: run both on two random
    images and refuse the import if they differ by more than AGREEMENT of the largest output.
    Raises ParameterError without torch, for a node that cannot be imported (the sentence names the first), or if the
    two differ.
    """
    torch = _extra("torch", "torch")
    from_torch = import_module("mapping.networks.importers.from_torch")
    shape, called = _image_shape(input_shape), name or type(module).__name__
    described = {**(card or {}), "imported_from": f"torch {torch.__version__}"}
    network: Network = from_torch.convert(module, shape, called, classes, known or {}, described)
    if not check:
        return network
    images = _images(network)
    return _checked(network, difference(network, images, from_torch.outputs(module, images)), "torch")


def import_onnx(
    path: str | os.PathLike[str],
    *,
    input_shape: Sequence[int] | None = None,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    card: Mapping[str, Any] | None = None,
    check: bool = False,
) -> Network:
    """Import an ONNX file, opset 13 or later; it is read as data and nothing in it is executed.

    input_shape: (c, h, w) of an image, for files that leave it open.  name: of the network, else that of the file.
    classes, card: as for import_torch.  check: run the file in onnxruntime where that is installed, else in onnx's own
    reference, on two random images, and refuse the import if they differ by more than AGREEMENT of the largest output.
    Raises ParameterError without onnx, for a damaged file or one with parts elsewhere, for a node that cannot be
    imported (the sentence names the first), or if the two differ.
    """
    _extra("onnx", "onnx")
    from_onnx = import_module("mapping.networks.importers.from_onnx")
    shape = None if input_shape is None else _image_shape(input_shape)
    network: Network = from_onnx.convert(Path(path), shape, name or Path(path).stem, classes, dict(card or {}))
    if not check:
        return network
    images = _images(network)
    theirs, runtime = from_onnx.outputs(Path(path), images)
    return _checked(network, difference(network, images, theirs), runtime)


def load_state(module: Foreign, path: str | os.PathLike[str]) -> None:
    """Read weights into a PyTorch module that the caller has built, from a .safetensors file or a torch checkpoint.

    Checkpoints are read by torch.load(weights_only=True), which takes tensors and plain values only; a file with
    anything else is refused, never run. One entry "state_dict" or "model" around the weights is looked into.
    Raises ParameterError without torch, or safetensors for its files, for a damaged file, or if names or shapes do not
    fit the module.
    """
    torch = _extra("torch", "torch")
    path = Path(path)
    if not path.is_file():
        raise ParameterError(f"there is no checkpoint {path}")
    try:
        if path.suffix == ".safetensors":
            state = _extra("safetensors.torch", "torch").load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            for key in ("state_dict", "model"):
                if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
                    state = state[key]
        if not isinstance(state, Mapping) or not all(isinstance(each, torch.Tensor) for each in state.values()):
            raise ParameterError("it holds no weights by name")  # noqa: TRY301
        module.load_state_dict(state)
    except Exception as error:  # noqa: BLE001  (zip, pickle, json and torch each have their own kinds)
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise ParameterError(f"{path} is not a sound checkpoint of {type(module).__name__}: {reason}") from None


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


def _images(network: Network) -> FloatArray:
    """Random images whose pixels are exact in float32."""
    drawn = np.random.default_rng(SEED).uniform(size=(CHECK_IMAGES, *network.input_shape))
    return drawn.astype(np.float32).astype(np.float64)


def _checked(network: Network, off: float, runtime: str) -> Network:
    """Return the network with the comparison on its card, refused if it is too far off."""
    if off > AGREEMENT:
        raise ParameterError(
            f"the imported {network.name} differs from what {runtime} gives by {off:.1e} of its largest output "
            f"(at most {AGREEMENT:g}); check=False imports it all the same"
        )
    card = {**network.card, "import_check": {"against": runtime, "largest_difference": off}}
    return Network(network.name, network.input_shape, network.classes, network.layers, card)


def _extra(module: str, extra: str) -> Foreign:
    """Import what an extra brings, or say how to get it."""
    try:
        return import_module(module)
    except ImportError:
        missing = module.partition(".")[0]
        raise ParameterError(f"this needs {missing}: pip install 'crossgate[{extra}]'") from None


def _image_shape(value: Sequence[int]) -> tuple[int, int, int]:
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise ParameterError(f"input_shape must be (channels, height, width), got {value!r}")
    c, h, w = (whole(f"input_shape[{i}]", n, minimum=1) for i, n in enumerate(value))
    return c, h, w
