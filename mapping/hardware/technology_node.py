"""Keys of a chip that follow its technology node: one change moves pitch, wires and voltages, unless they are given."""

from collections.abc import Mapping
from typing import Any

from crossbar.prices.technology import at, supply

#: Node [nm]: width [nm], aspect ratio and resistivity [Ω m] of a wire; NeuroSim V1.3, Param.cpp
WIRE = {
    130: (175.0, 1.6, 2.20e-8), 90: (110.0, 1.6, 2.52e-8), 65: (105.0, 1.7, 2.68e-8), 45: (80.0, 1.7, 3.31e-8),
    32: (56.0, 1.8, 3.70e-8), 22: (40.0, 1.9, 4.03e-8), 14: (25.0, 2.0, 5.08e-8), 10: (18.0, 2.0, 6.35e-8),
    7: (18.0, 2.0, 6.35e-8),
}  # fmt: skip
WIDTH = {node: width for node, (width, _, _) in WIRE.items()}  # [nm]
RESISTANCE = {node: rho / (aspect * (width * 1e-9) ** 2) for node, (width, aspect, rho) in WIRE.items()}  # [Ω/m]
SMALLEST, LARGEST = 1e-15, 1.0  # [m] ours: beyond them nothing follows a length, and its own key refuses it


def followed(description: Any, content: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401  (a circle of files)
    """Return the sections of a change with the keys that follow from it, where the change does not give them.

    `costs.node` moves `costs.pitch` with the width of wires, `costs.v_pulse` and `sense.v_supply` with the supply;
    node and pitch move `wires.r_row` and `wires.r_column` with the resistance of a wire over one cell.
    Source: docs/equations/costs.md, section 15.
    """
    costs = content.get("costs", {})
    if not isinstance(costs, Mapping) or not {"node", "pitch"} & set(costs):
        return dict(content)
    old = description.costs
    node, pitch = costs.get("node", old.node), costs.get("pitch")
    if not _length(node) or not (pitch is None or _length(pitch)):
        return dict(content)  # refused with its key later
    if pitch is None:
        pitch = old.pitch * _ratio(node, old.node, WIDTH)
    longer = _ratio(node, old.node, RESISTANCE) * pitch / old.pitch
    volts = supply(node) / supply(old.node)
    follow: dict[str, dict[str, float]] = {
        "wires": {key: getattr(description.wires, key) * longer for key in ("r_row", "r_column")},
        "costs": {"pitch": pitch, "v_pulse": old.v_pulse * volts},
        "sense": {"v_supply": description.sense.v_supply * volts},
    }
    out = dict(content)
    for section, keys in follow.items():
        given = content.get(section, {})
        if isinstance(given, Mapping):
            out[section] = keys | dict(given)
    return out


def _ratio(new: float, old: float, table: Mapping[int, float]) -> float:
    """Value of a table at a new node over that at an old one [m]; nodes beyond the table have its last value."""
    least, most = min(table) * 1e-9, max(table) * 1e-9
    return at(min(max(new, least), most), table) / at(min(max(old, least), most), table)


def _length(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and SMALLEST < value < LARGEST
