"""Networks of other programs: PyTorch modules, their archives, and ONNX files. torch and onnx are extras."""

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from devices.checks import whole
from devices.errors import ParameterError
from mapping.files.cache import Cache
from mapping.networks.graph import Network
from mapping.networks.importers.comparison import (
    AGREEMENT,
    Comparison,
    checked,
    difference,
    first_difference,
    noted,
    random_images,
)
from mapping.networks.importers.lowering import Lowering
from mapping.networks.importers.recognition import recognise
from mapping.networks.importers.tensor_graph import Node, TensorGraph
from mapping.networks.layers.kinds import named_arrays

if TYPE_CHECKING:
    from mapping.networks.importers.from_torch import Converter

Foreign = Any  # an object of torch, whose classes have no types here

HALF = 8.0  # differences of half precision are allowed to be so many of its steps; ours


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
    """Import a PyTorch module as it is in evaluation mode, or the path of a .pt2 archive of torch.export.

    input_shape: (c, h, w) of an image.  name: of the network, else that of the module's class.  classes: what the
    outputs stand for, else "0", "1", ….  card: what is known of it, such as {"dataset": "cifar10"}.  known: what
    modules do that cannot be exported, by the name of their class; see docs/import.md.  check: run both on two random
    images and refuse the import if they differ by more than AGREEMENT of the largest output, or a few steps of the
    module's own precision if that is coarser.
    Raises ParameterError without torch, for a node that cannot be imported (the sentence names it), or if the two
    differ (the sentence names the first layer that does).
    """
    torch = _extra("torch", "torch")
    from_torch = import_module("mapping.networks.importers.from_torch")
    shape = image_shape(input_shape)
    exported = from_torch.Exported(module, shape, known or {})
    called = name or exported.name
    described = {**(card or {}), "imported_from": f"torch {torch.__version__}"}
    network, lowering = _network(exported.graph, exported.output, shape, called, classes, described)
    if not check:
        return network
    images = random_images(network)
    allowed = max(AGREEMENT, HALF * exported.precision)
    off = difference(network, images, exported.outputs(images))
    where = None
    if not off <= allowed:  # perhaps by the rounding of single precision alone
        exact = exported.exact_outputs(images)
        off = off if exact is None else min(off, difference(network, images, exact))
    if not off <= allowed:
        theirs = ((lowering.held[node], value) for node, value in exported.values(images[:1]) if node in lowering.held)
        where = first_difference(network, images[:1], theirs, allowed)
    return checked(network, off, "torch", allowed, where)


def import_onnx(
    path: str | os.PathLike[str],
    *,
    input_shape: Sequence[int] | None = None,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    card: Mapping[str, Any] | None = None,
    output: str | None = None,
    check: bool = True,
    kept: Cache | None = None,
) -> Network:
    """Import an ONNX file, opset 6 or later; it is read as data and nothing in it is executed.

    input_shape: (c, h, w) of an image, for files that leave it open.  name: of the network, else that of the file.
    classes, card: as for import_torch.  output: which of several outputs, by its name.  check: run the file in
    onnxruntime where that is installed, else in onnx's own reference, on two random images, and refuse the import if
    they differ by more than AGREEMENT of the largest output; without a runtime that runs it, the card says
    "not compared".  kept: where the result of the comparison is kept, so that a file is compared once.
    Raises ParameterError without onnx, for a damaged file, for a node that cannot be imported (the sentence names it),
    or if the two differ (the sentence names the first layer that does).
    """
    _extra("onnx", "onnx")
    from_onnx = import_module("mapping.networks.importers.from_onnx")
    path = Path(path)
    wanted = None if input_shape is None else image_shape(input_shape)
    file = from_onnx.OnnxFile(path, wanted, output)
    try:
        network, lowering = _network(
            file.graph, file.output, file.input_shape, name or path.stem, classes, {**(card or {}), **file.card}
        )
    except Exception as error:  # noqa: BLE001  (a damaged file makes numpy raise whatever it has)
        reason = " ".join(str(error).split())[:600] or type(error).__name__
        raise ParameterError(f"{path} cannot be imported: {reason}") from None
    return _compared(network, lowering, file, kept) if check else network


def image_shape(value: Sequence[int]) -> tuple[int, int, int]:
    """Return (channels, height, width) as whole numbers.

    Raises ParameterError if they are no such three.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise ParameterError(f"input_shape must be (channels, height, width), got {value!r}")
    c, h, w = (whole(f"input_shape[{i}]", n, minimum=1) for i, n in enumerate(value))
    return c, h, w


def _network(
    graph: TensorGraph,
    output: Node,
    shape: tuple[int, int, int],
    name: str,
    classes: Sequence[str] | None,
    card: dict[str, Any],
) -> tuple[Network, Lowering]:
    """Recognise what a graph spells out, and make its layers."""
    lowering = Lowering(graph.input, shape)
    with np.errstate(all="ignore"):
        nodes = recognise(graph, output)
        lowering.lower(nodes)
    return lowering.network(output, name, classes, card), lowering


def _compared(network: Network, lowering: Lowering, file: Foreign, kept: Cache | None) -> Network:
    """Compare a network with its file in a runtime, if there is one that runs it."""
    key = None if kept is None else f"import-{file.digest(named_arrays(network.layers))}"
    known = None if kept is None or key is None else kept.get(key, {"Comparison": Comparison})
    if known is not None:
        return noted(network, {"against": known.against, "largest_difference": known.largest_difference})
    images = random_images(network)
    theirs, runtime = file.outputs(images)
    if theirs is None:
        return noted(network, {"against": "not compared", "reason": runtime})
    allowed = max(AGREEMENT, HALF * file.precision)
    off = difference(network, images, theirs)
    where = None
    if not off <= allowed:
        pairs = ((lowering.held[node], value) for node, value in file.values(images[:1]) if node in lowering.held)
        where = first_difference(network, images[:1], pairs, allowed)
    network = checked(network, off, runtime, allowed, where)
    if kept is not None and key is not None:
        kept.put(key, Comparison(runtime, off), {"Comparison": Comparison}, about=f"comparison of {file.path.name}")
    return network


def _extra(module: str, extra: str) -> Foreign:
    """Import what an extra brings, or say how to get it."""
    try:
        return import_module(module)
    except ImportError:
        missing = module.partition(".")[0]
        raise ParameterError(f"this needs {missing}: pip install 'crossgate[{extra}]'") from None
