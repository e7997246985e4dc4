"""Compiling: network × chip description × calibration images → program."""

import os

from devices import checks
from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.hardware.description import AUTO, Hardware
from mapping.hardware.description_files import load_hardware
from mapping.networks.graph import Network
from mapping.networks.layers.convolutions import DynamicConv
from mapping.networks.layers.matrix_layers import MatrixLayer
from mapping.placement.folding import prepare
from mapping.placement.input_ranges import input_range
from mapping.placement.matrix import Matrix
from mapping.placement.placing import place_layer
from mapping.placement.program import Program
from mapping.workflow.layout_choice import best_layout


def compile_network(network: Network, hardware: Hardware | str | os.PathLike[str], calibration: FloatArray) -> Program:
    """Place a network on a chip description and fix converter ranges and digital scales on calibration images.

    calibration: (b, c, h, w) typical images, none of them from the test set.
    Raises ParameterError for images of another shape, MappingError if a layer cannot be placed.
    """
    if not isinstance(hardware, Hardware):
        hardware = load_hardware(hardware)
    calibration = checks.array("calibration", calibration, shape=(None, *network.input_shape))
    if not len(calibration):
        raise ParameterError("calibration must hold at least one image, got none")
    folded, digital_scales = prepare(network, hardware)
    matrices: dict[str, tuple[Matrix, ...]] = {}
    placed = [layer for layer in folded.layers if isinstance(layer, MatrixLayer)]
    hardware.mapping.check_names(
        [each.name for each in placed], [each.name for each in placed if isinstance(each, DynamicConv)]
    )
    for layer, values in folded.layer_by_layer(calibration):
        if not isinstance(layer, MatrixLayer):
            continue
        layout = hardware.mapping.of(layer.name) if isinstance(layer, DynamicConv) else "parallel"
        if layout == AUTO:
            layout = best_layout(network, folded, layer.name, values, hardware)
        matrices |= place_layer(layer, values, hardware, layout, input_range(folded, layer, hardware))
    return Program(network, folded, hardware, matrices, calibration, digital_scales)
