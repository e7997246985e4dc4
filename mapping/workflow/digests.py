"""Hashes of nested values: networks, chip descriptions, images, and the code that computes with them."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401  (loads its BLAS, so that threadpool_info lists it)
from llvmlite import binding
from threadpoolctl import threadpool_info

from devices.numerics.jit import PACKAGES
from mapping.data.datasets import Dataset
from mapping.networks.graph import Network

LIBRARIES = ("numpy", "numba", "scipy")  # libraries whose versions may change the last digit of a result


def digest(*values: object) -> str:
    """Return the SHA-256 of nested values, with all bits of their arrays; equal contents give equal hashes anywhere."""
    state = hashlib.sha256()
    _feed(state, values)
    return state.hexdigest()


@cache
def code_version() -> str:
    """Return a hash of everything that the last digits of a result depend on: our sources, libraries, the processor.

    So a changed formula needs no new version number, and several machines can share a cache.
    """
    root = Path(__file__).resolve().parents[2]
    files = [path for name in PACKAGES for path in sorted((root / name).rglob("*.py"))]
    sources = [(path.relative_to(root).as_posix(), path.read_bytes()) for path in files]
    products = {
        (each.get("internal_api"), each.get("version"), each.get("architecture"))
        for each in threadpool_info()
        if each.get("user_api") == "blas"
    }
    machine = (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten(), sorted(map(repr, products)))
    return digest(sources, [version(name) for name in LIBRARIES], machine)


def _feed(state: Any, value: object) -> None:  # noqa: ANN401  (hashlib names no public type)
    if isinstance(value, Network):
        _feed(state, ("Network", value.name, value.input_shape, value.classes, value.layers))
    elif isinstance(value, Dataset):
        _feed(state, ("Dataset", value.images, value.labels))
    elif is_dataclass(value) and not isinstance(value, type):
        _feed(state, (type(value).__name__, [(each.name, getattr(value, each.name)) for each in fields(value)]))
    elif isinstance(value, np.ndarray):
        state.update(f"{value.dtype.str}{value.shape}".encode())
        state.update(np.ascontiguousarray(value).data.cast("B") if value.size else b"")
    elif isinstance(value, Mapping):
        _feed(state, list(value.items()))
    elif isinstance(value, (list, tuple)):
        state.update(f"[{len(value)}".encode())
        for each in value:
            _feed(state, each)
    else:
        state.update(f"{type(value).__name__}:{value!r};".encode())
