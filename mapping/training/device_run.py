"""The run of a written chip in torch, on a processor or a card: the outputs of `run`, without its counts."""

from collections.abc import Callable

import numpy as np
import torch

from devices import checks
from devices.aliases import FloatArray
from mapping.chips.chip import Chip
from mapping.training.chip_module import ChipModule
from mapping.training.devices_of_torch import check_device

BATCH = 256  # images at a time, ours: bounds the unrolled maps on a card


def run_on_device(
    chip: Chip, images: FloatArray, device: str = "cuda", *, seed: int = 0, batch: int = BATCH,
    progress: Callable[[int], None] | None = None,
) -> FloatArray:  # fmt: skip
    """Return the outputs (b, classes) of `run(chip, images, seed=seed)` to rounding, computed by torch on a device.

    A code of a converter may fall to either side where a current lies on the border to 1e-6, so a few outputs may
    differ by what one code counts.  progress: called with the number of images done after each batch.
    Raises ParameterError for another shape, a device that is not there, or what `ChipModule` does not cover.
    """
    check_device(device)
    images = checks.array("images", images, shape=(None, *chip.program.network.input_shape))
    batch = checks.whole("batch", batch, minimum=1)
    module = ChipModule(chip.program, chip.seed, read_seed=seed, chip=chip).to(device).eval()
    logits = [np.empty((0, len(chip.program.network.classes)))]
    with torch.no_grad():
        for first in range(0, len(images), batch):
            part = torch.as_tensor(images[first : first + batch], device=device)
            logits.append(module(part, first).double().cpu().numpy())
            if progress is not None:
                progress(min(first + batch, len(images)))
    return np.concatenate(logits)
