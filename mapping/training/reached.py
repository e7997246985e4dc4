"""What a backward pass through a chip reaches."""

import torch

from devices.errors import SimulationError
from mapping.placement.program import Program
from mapping.training.chip_module import ChipModule


def gradient_reach(program: Program, layer: str, before: str) -> str:
    """Say what the gradient of a program's outputs reaches, in a word.

    "its weights" of a layer on tiles, or that it "passes on" through a digital one to the weights of a layer before it;
    "no gradient" if it does not, and "no" if the program is none that `ChipModule` takes.
    """
    try:
        module = ChipModule(program, precision="double")
        module(torch.tensor(program.calibration)).square().sum().backward()
    except SimulationError:
        return "no"
    reached = {
        name for name, value in module.named_parameters() if value.grad is not None and bool(value.grad.abs().sum() > 0)
    }
    if layer in program.matrices:
        own = {name for name, _ in module.named_parameters() if name.startswith(layer)}
        return "its weights" if own and own <= reached else "no"
    return "passes on" if any(name.startswith(before) for name in reached) else "no gradient"
