"""Every number of a chip description at absurd values: it is refused by name, or a run's report is finite."""

import dataclasses
import json
import math

import numpy as np
import pytest

from devices.errors import SimulationError
from mapping import Hardware, compile_network, price, run, write
from mapping.networks import Attention, DynamicConv, GlobalAveragePool, Linear, Network

EXTREMES = (1e9, 1e30, 1e200, 1e308, 1e-9, 1e-30, 1e-300, 5e-324)


def keys():
    """Every key that holds a number, as section.key."""
    hardware = Hardware()
    for section in dataclasses.fields(Hardware):
        part = getattr(hardware, section.name)
        if dataclasses.is_dataclass(part):
            for each in dataclasses.fields(part):
                value = getattr(part, each.name, None)
                if each.init and isinstance(value, float) and not isinstance(value, bool):
                    yield f"{section.name}.{each.name}"


KEYS = sorted(keys())


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(3)
    gate = Attention(rng.normal(size=(2, 2)), np.zeros(2), rng.normal(size=(2, 2)), np.zeros(2))
    layers = (
        DynamicConv("mixed", ("input",), rng.normal(size=(2, 3, 2, 2, 2)), None, (1, 1), (0, 0), (1, 1), 1, gate),
        GlobalAveragePool("pool", ("mixed",)),
        Linear("fc", ("pool",), rng.normal(size=(4, 3))),
    )
    return Network("small", (2, 3, 3), tuple("abcd"), layers), rng.random((6, 2, 3, 3))


def infinite(value, path=""):
    """Places of a report that hold a number that is not finite; unlimited life and other settings may be infinite."""
    if isinstance(value, dict):
        return [found for key, held in value.items() for found in infinite(held, f"{path}.{key}")]
    if isinstance(value, (list, tuple)):
        return [found for held in value for found in infinite(held, path)]
    return [path] if value in ("inf", "-inf", "nan") or (isinstance(value, float) and not math.isfinite(value)) else []


def outcome(small, key, value):
    """What a run makes of one value: a refusal's sentence, or the places of the report that are not finite."""
    network, images = small
    try:
        hardware = Hardware().with_values([f"{key}={value!r}", "tile.rows=8", "tile.columns=8", "tile.gate_nodes=4"])
        report = price(run(write(compile_network(network, hardware, images), 1), images), np.zeros(6, dtype=int))
    except SimulationError as error:
        return str(error), []
    content = {name: held for name, held in json.loads(report.to_json()).items() if name != "configuration"}
    return "", infinite(content)


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_key__at_extremes_is_refused_or_harmless(small, key):
    found = {}
    for value in EXTREMES:
        try:
            said, places = outcome(small, key, value)
        except (ArithmeticError, Warning, ValueError, TypeError, IndexError) as error:
            found[value] = f"{type(error).__name__}: {error}"
            continue
        if places:
            found[value] = f"not finite: {places[:4]}"
        elif "got nan" in said or "got inf" in said:
            found[value] = said
    assert not found, found
