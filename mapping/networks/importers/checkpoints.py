"""Weights of a checkpoint into a PyTorch module that the caller has built."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from devices.errors import ParameterError
from mapping.networks.importers.importing import _extra

Foreign = Any  # an object of torch, whose classes have no types here

#: entries of a checkpoint below which training scripts put the weights
WRAPPED = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "ema")
#: what wrappers put before the names: DataParallel, torch.compile, Lightning
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")


def load_state(module: Foreign, path: str | os.PathLike[str]) -> None:
    """Read weights into a PyTorch module that the caller has built, from a .safetensors file or a torch checkpoint.

    Checkpoints are read by torch.load(weights_only=True), which takes tensors and plain values only; a file with
    anything else is refused, never run. An entry such as "state_dict", "net" or "model_state_dict" around the weights
    is looked into, and "module." or "_orig_mod." before every name is left out.
    Raises ParameterError without torch, or safetensors for its files, for a damaged file, or if names or shapes do not
    fit the module.
    """
    torch = _extra("torch", "torch")
    path = Path(path)
    if not path.is_file():
        raise ParameterError(f"there is no checkpoint {path}")
    module = import_module("mapping.networks.importers.from_torch").unwrapped(module)
    try:
        if path.suffix == ".safetensors":
            state = _extra("safetensors.torch", "torch").load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        state = _weights(state, torch, set(module.state_dict()))
        module.load_state_dict(state)
    except Exception as error:  # noqa: BLE001  (zip, pickle, json and torch each have their own kinds)
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise ParameterError(f"{path} is not a sound checkpoint of {type(module).__name__}: {reason}") from None


def _weights(held: Foreign, torch: Foreign, wanted: set[str]) -> dict[str, Any]:
    """Find the weights by name in what a checkpoint holds."""
    for _ in range(3):
        if not isinstance(held, Mapping):
            break
        if held and all(isinstance(each, torch.Tensor) for each in held.values()):
            return _named(held, wanted)
        inner = [held[key] for key in WRAPPED if isinstance(held.get(key), Mapping)]
        if not inner:
            break
        held = inner[0]
    raise ParameterError("it holds no weights by name")


def _named(held: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    """Leave out what a wrapper has put before every name, if the names then fit the module better."""
    names = dict(held)
    for _ in range(3):
        if set(names) == wanted:
            break
        before = next((p for p in PREFIXES if names and all(name.startswith(p) for name in names)), None)
        if before is None:
            break
        names = {name.removeprefix(before): value for name, value in names.items()}
    return names
