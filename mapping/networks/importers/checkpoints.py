"""Weights of a checkpoint into a PyTorch module that the caller has built."""

import argparse
import collections
import datetime as dt
import os
import pathlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from devices.errors import ParameterError
from mapping.networks.importers.importing import _extra

Foreign = Any  # an object of torch, whose classes have no types here

#: entries of a checkpoint below which training scripts put the weights
WRAPPED = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params", "ema",
    "state_dict_ema", "model_ema", "params_ema", "ema_state_dict",
)  # fmt: skip
#: ends of names that profilers leave among the weights: numbers of operations and of weights
COUNTERS = ("total_ops", "total_params")


def load_state(module: Foreign, path: str | os.PathLike[str]) -> None:
    """Read weights into a PyTorch module that the caller has built, from a .safetensors file or a torch checkpoint.

    Checkpoints are read by torch.load(weights_only=True), which takes tensors and plain values only, here also the
    arguments, dates, paths and numbers of numpy that training scripts put beside them; a file with anything else is
    refused, never run. An entry such as "state_dict", "net" or "model_state_dict" around the weights is looked into,
    and what stands before every name, such as "module." or "_orig_mod.", is left out.
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
            with torch.serialization.safe_globals(_beside_weights()):
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
    """Leave out what a wrapper has put before every name, if the names then fit the module."""
    names = {name: value for name, value in held.items() if name in wanted or not name.endswith(COUNTERS)}
    while names and set(names) != wanted:
        before = {name.partition(".")[0] for name in names}
        if len(before) != 1 or not all("." in name for name in names):
            break
        names = {name.partition(".")[2]: value for name, value in names.items()}
        names = {name: value for name, value in names.items() if name in wanted or not name.endswith(COUNTERS)}
    return names if set(names) == wanted else dict(held)


def _beside_weights() -> list[Any]:
    """What training scripts keep beside the weights; making one of these runs nothing."""
    core = import_module("numpy._core.multiarray")
    numbers = [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
    made = [core.scalar, core._reconstruct]  # noqa: SLF001  (what numpy's own files of numbers and arrays call)
    old = [(each, f"numpy.core.multiarray.{each.__name__}") for each in made]
    plain = [
        argparse.Namespace,
        collections.defaultdict,
        dt.datetime,
        dt.date,
        dt.timedelta,
        dt.timezone,
        np.dtype,
        np.ndarray,
    ]
    return [*plain, pathlib.PurePosixPath, pathlib.PosixPath, *made, *old, *numbers]
