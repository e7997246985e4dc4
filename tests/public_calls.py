"""Valid calls of every public function, class and method of devices and crossbar: what bad arguments are put into."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import crossbar as c
import devices as d


class Call(NamedTuple):
    """A callable and arguments that it takes."""

    function: Callable[..., Any]
    arguments: dict[str, Any]


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def swept(corner: float, **rest: float) -> d.Waveform:
    """Return a sweep to one corner, which `sweep` takes without a name."""
    return d.sweep(corner, **rest)


def public_calls(folder: str) -> dict[str, Call]:
    """Return a valid call for every public name, by that name, or name.method; files go into the folder."""
    cell, wires = d.AdaptiveMemristor(), c.Wires(1.0, 2.0, 10.0, 5.0)
    g = np.array([[2e-5, 1e-6, 4e-5], [5e-6, 5e-5, 1e-5]])
    v, on = np.array([[0.1, -0.2], [0.05, 0.1]]), np.array([[1, 0], [1, 1]])
    array, lines, farads = c.Array(cell, g), c.GateLines("tile", 1.0, 10.0), c.Capacitances()
    nodes, noise = c.GainNodes(0.1, 0.9, 3), d.ReadNoise()
    drawn = d.Spread().draw(cell, (2, 3), rng())
    family = c.transfer_family(lambda gain: gain * g, nodes, wires)
    stacked = c.stacked_family([lambda gain: gain * g, lambda gain: gain * g], nodes, wires)
    settled = c.settling(g, np.abs(v), wires, farads)
    sensed = c.sensitivity(g, v, wires)
    port = c.reduce_array(g, wires)
    traps = d.ReadNoise(telegraph=True, traps=2.0).draw_traps((3,), rng())
    stress = d.Stress(np.array([0.1, -0.1]), np.array([0.5, 0.0]), np.array([1e-3, 1e-4]))
    waveform = d.sweep(0.5, points=9)
    table = d.Tabulated((-0.2, 0.0, 0.2), (-2e-6, 0.0, 2e-6))
    w, volts = np.array([0.2, 0.8]), np.array([0.05, -0.1])

    def of_cell(each: Any, name: str, *, gated: bool) -> dict[str, Call]:
        gates = np.array([0.1, 0.7])
        gains = np.array([0.3, 0.6]) if gated else np.ones(2)
        calls = {
            "filament": Call(each.filament, {"w": w}),
            "state": Call(each.state, {"g_filament": each.filament(w)}),
            "conductance": Call(each.conductance, {"w": w, "v_gate": gates, "v": volts}),
            "current": Call(each.current, {"w": w, "v_gate": gates, "v": volts}),
            "gate_gain": Call(each.gate_gain, {"v_gate": gates}),
            "gain_with_offset": Call(each.gain_with_offset, {"v_gate": gates, "offset": 0.1 * gates}),
            "terminal_conductance": Call(
                each.terminal_conductance, {"g_filament": each.filament(w), "gain": gains, "v": volts}
            ),
            "filament_for": Call(
                each.filament_for,
                {"g_terminal": each.terminal_conductance(each.filament(w), gains, volts), "gain": gains, "v": volts},
            ),
        }
        if gated:
            calls["gate_voltage"] = Call(each.gate_voltage, {"gain": gains})
            calls["fermi_energy"] = Call(each.fermi_energy, {"v_gate": gates})
        if hasattr(each, "evolve"):
            arguments = {"w": w, "v": volts, "dt": np.array([1e-6, 2e-6])}
            calls["evolve"] = Call(each.evolve, arguments | ({"v_gate": gates} if gated else {}))
        return {f"{name}.{key}": call for key, call in calls.items()}

    selected = d.SelectedCell(cell)
    return {
        # devices
        "AdaptiveMemristor": Call(d.AdaptiveMemristor, {"g_min": 1e-6, "v_dirac": 0.1, "temperature": 300.0}),
        "Resistor": Call(d.Resistor, {"g_min": 1e-6, "g_max": 1e-4}),
        "StanfordPku": Call(d.StanfordPku, {}),
        "Vteam": Call(d.Vteam, {}),
        "SelectedCell": Call(d.SelectedCell, {"cell": cell}),
        "Tabulated": Call(d.Tabulated, {"voltages": (-0.2, 0.0, 0.2), "currents": (-2e-6, 0.0, 2e-6)}),
        **of_cell(cell, "AdaptiveMemristor", gated=True),
        **of_cell(d.Resistor(), "Resistor", gated=False),
        **of_cell(d.Vteam(), "Vteam", gated=False),
        **of_cell(d.StanfordPku(), "StanfordPku", gated=False),
        **of_cell(selected, "SelectedCell", gated=True),
        **of_cell(table, "Tabulated", gated=False),
        "cell_current": Call(d.cell_current, {"law": cell.law, "g_filament": 1e-5, "v": 0.1, "v_gate": 0.2}),
        "Waveform": Call(d.Waveform, {"time": np.arange(3.0), "v": np.arange(3.0), "v_gate": np.zeros(1)}),
        "Waveform.then": Call(waveform.then, {"other": waveform}),
        "Waveform.repeated": Call(waveform.repeated, {"times": 2}),
        "pulses": Call(d.pulses, {"v": np.array([0.4, 0.5]), "width": 1e-6, "pause": 1e-6, "v_rest": 0.0}),
        "simulate": Call(d.simulate, {"cell": cell, "waveform": waveform, "w": 0.1, "gate_offset": 0.0}),
        "sweep": Call(swept, {"corner": 0.5, "rate": 1.0, "points": 5}),
        "ReadNoise": Call(d.ReadNoise, {"observation_time": 1.0, "flicker": True}),
        "ReadNoise.cell_variance": Call(noise.cell_variance, {"g": g, "v": 0.1, "t_read": 1e-7, "temperature": 300.0}),
        "ReadNoise.spectrum": Call(noise.spectrum, {"f": np.array([10.0, 1e3]), "g": 1e-5, "v": 0.1}),
        "ReadNoise.variance": Call(noise.variance, {"g": g, "v": 0.1, "low": 1.0, "high": 1e5}),
        "ReadNoise.sigma": Call(noise.sigma, {"g": g, "v": 0.1, "low": 1.0, "high": 1e5}),
        "ReadNoise.trace": Call(noise.trace, {"g": 1e-5, "v": 0.1, "dt": 1e-6, "steps": 8, "rng": rng()}),
        "ReadNoise.draw_traps": Call(noise.draw_traps, {"shape": (2, 2), "rng": rng()}),
        "Traps.draw": Call(
            d.Traps.draw,
            {"shape": (3,), "mean": 1.0, "ln_sigma": 0.5, "dwell_median": 1e-3, "dwell_ln_sigma": 1.0, "rng": rng()},
        ),
        "Traps.variance": Call(
            traps.variance, {"low": 1.0, "high": 1e3, "typical": np.full(3, 0.01), "current": np.full(3, 1e-6)}
        ),
        "levels": Call(d.levels, {"cell": cell, "count": 5, "spacing": "ratio"}),
        "quantise": Call(d.quantise, {"g": g, "table": np.array([1e-6, 1e-5, 1e-4])}),
        "neurram_error": Call(d.neurram_error, {"g": 1e-5, "age": 1.0, "g_max": 4e-5}),
        "published_error": Call(d.published_error, {"g": 1e-5, "law": "neurram"}),
        "retain": Call(d.retain, {"cell": cell, "g_filament": g, "ages": np.array([1.0, 1e6]), "rng": rng()}),
        "relax": Call(
            d.relax, {"cell": cell, "g_filament": g, "kept": 0.9 * g[None], "ages": np.array([1e6]), "rng": rng()}
        ),
        "Stress": Call(
            d.Stress, {"v": np.array([0.1, -0.1]), "v_gate": np.array([0.5, 0.0]), "seconds": np.array([1e-3, 1e-4])}
        ),
        "Stress.repeated": Call(stress.repeated, {"times": 10.0, "rest": 1.0}),
        "disturb": Call(d.disturb, {"cell": cell, "g_filament": g, "stress": stress, "gate_offset": 0.0}),
        "Spread": Call(d.Spread, {"write_error": 0.01}),
        "Spread.draw": Call(d.Spread().draw, {"cell": cell, "shape": (2, 3), "rng": rng(), "lines": 1}),
        "Spread.write": Call(d.Spread().write, {"cell": cell, "g_filament_targets": g, "rng": rng()}),
        "DrawnCells.write": Call(drawn.write, {"g_filament_targets": g, "rng": rng()}),
        "WriteVerify": Call(d.WriteVerify, {"v_set": 0.5, "most_pulses": 10}),
        "write_verify": Call(
            d.write_verify,
            {"cells": drawn, "g_filament_targets": g, "scheme": d.WriteVerify(), "rng": rng(), "noise": noise},
        ),
        # crossbar
        "Array": Call(c.Array, {"cell": cell, "g_filament": g, "gate_offset": 0.0}),
        "Array.gain": Call(array.gain, {"v_gate": 0.5, "inputs": 2}),
        "Capacitances": Call(c.Capacitances, {"c_row": 1e-16}),
        "interleave": Call(c.interleave, {"positive": g, "negative": g}),
        "opposed": Call(c.opposed, {"v": v}),
        "pair_transfer": Call(c.pair_transfer, {"transfer": g}),
        "GateLines": Call(c.GateLines, {"group": "tile", "r_segment": 1.0, "r_driver": 10.0, "g_gate_leak": 1e-12}),
        "GateLines.group_shape": Call(lines.group_shape, {"shape": (2, 3)}),
        "GateLines.groups": Call(lines.groups, {"shape": (2, 3)}),
        "GateLines.leaks": Call(lines.leaks, {"shape": (2, 3)}),
        "GateNetwork": Call(c.GateNetwork, {"lines": lines, "shape": (2, 3)}),
        "TileWires": Call(c.TileWires, {"r_row": np.ones(2), "r_column": 1.0, "r_driver": 1.0, "r_sense": 1.0}),
        "TileWires.of_array": Call(c.TileWires(np.ones(4), np.ones(3), 1.0, 1.0).of_array, {"m": 2, "n": 3}),
        "Wires": Call(c.Wires, {"r_row": 1.0, "r_column": 1.0, "r_driver": 1.0, "r_sense": 1.0}),
        "Wires.at_temperature": Call(wires.at_temperature, {"temperature": 350.0, "coefficient": 0.004}),
        "gate_voltages": Call(c.gate_voltages, {"lines": lines, "v_gate": np.ones((2, 1)), "shape": (2, 3)}),
        "inject": Call(
            c.inject, {"g": g, "wires": wires, "into_rows": 1e-6 * np.ones((1, 2, 3)),
                       "into_columns": np.zeros((1, 2, 3))},
        ),
        "solve": Call(c.solve, {"circuit": g, "v": v, "wires": wires, "v_sense": 0.0}),
        "solve of an Array": Call(
            c.solve, {"circuit": array, "v": v, "wires": wires, "v_gate": 0.5, "tolerance": 1e-9}
        ),
        "sensitivity": Call(c.sensitivity, {"circuit": g, "v": v, "wires": wires, "columns": [0, 2]}),
        "Sensitivity.respond": Call(sensed.respond, {"cell_currents": 1e-9 * np.ones((2, 3))}),
        "Sensitivity.currents_change": Call(sensed.currents_change, {"dg": 0.01 * g}),
        "Sensitivity.gradient": Call(sensed.gradient, {"upstream": np.ones((2, 3)), "of": "g"}),
        "Sensitivity.variance": Call(sensed.variance, {"cell_variance": 1e-20 * np.ones((2, 3))}),
        "Sensitivity.read_variance": Call(sensed.read_variance, {"noise": noise, "t_read": 1e-7, "temperature": 300.0}),
        "gate_settling": Call(c.gate_settling, {"lines": lines, "shape": (2, 3), "capacitances": farads}),
        "settling": Call(c.settling, {"g": g, "v": np.abs(v), "wires": wires, "capacitances": farads}),
        "Settling.time": Call(settled.time, {"accuracy": 0.01, "model": "two poles"}),
        "Settling.bound": Call(settled.bound, {"accuracy": 0.01}),
        "Settling.remaining": Call(settled.remaining, {"t": np.full((2, 3), 1e-12)}),
        "worst_settling": Call(c.worst_settling, {"g": g, "wires": wires, "capacitances": farads}),
        "solve_source_lines": Call(
            c.solve_source_lines, {"g": g, "on": on, "v_source": 0.1, "wires": wires, "r_on": 10.0, "r_off": 1e7}
        ),
        "switched": Call(c.switched, {"g": g, "on": on, "r_on": 10.0, "r_off": 1e7}),
        "reference_gates": Call(
            c.reference_gates, {"g": g, "v": v, "wires": wires, "lines": lines, "v_gate": np.ones((2, 1))}
        ),
        "to_spice": Call(c.to_spice, {"circuit": g, "v": v[0], "wires": wires, "path": f"{folder}/a.cir"}),
        "source_lines_to_spice": Call(
            c.source_lines_to_spice,
            {"g": g, "on": on[:1], "v_source": 0.1, "wires": wires, "path": f"{folder}/b.cir"},
        ),
        "reference_solve": Call(c.reference_solve, {"g": g, "v": v, "wires": wires}),
        "reference_source_lines": Call(
            c.reference_source_lines, {"g": g, "on": on, "v_source": 0.1, "wires": wires}
        ),
        "gate_transient": Call(
            c.gate_transient,
            {"lines": lines, "v_gate": np.ones((1, 1)), "shape": (2, 3), "capacitances": farads,
             "times": np.array([1e-12])},
        ),
        "transient": Call(
            c.transient, {"g": g, "v": v, "wires": wires, "capacitances": farads, "times": np.array([1e-12])}
        ),
        "Activity": Call(c.Activity, {}),
        "Adc": Call(c.Adc, {"bits": 8, "columns": 8, "margin": 1.1}),
        "Adc.lsb": Call(c.Adc().lsb, {"full_scale": 1e-6}),
        "Sense": Call(c.Sense, {"v_supply": 0.8, "stage": "push-pull", "division": 32.0}),
        "Dac": Call(c.Dac, {"bits": 8, "coding": "pulse-width", "v_read": 0.1}),
        "Dac.codes": Call(c.Dac().codes, {"x": np.array([0.2, 0.5])}),
        "GateDac": Call(c.GateDac, {"bits": 8}),
        "GateDac.gains": Call(c.GateDac().gains, {"attention": np.array([0.2]), "cell": cell}),
        "Family.at": Call(family.at, {"gain": np.array([0.3])}),
        "transfer_family": Call(
            c.transfer_family, {"conductances": lambda gain: gain * g, "nodes": nodes, "wires": wires}
        ),
        "GainNodes": Call(c.GainNodes, {"low": 0.1, "high": 0.9, "count": 4}),
        "GainNodes.mix": Call(nodes.mix, {"gain": np.array([0.2])}),
        "GateNodes": Call(c.GateNodes, {"cell": cell, "count": 4, "reach": 0.2}),
        "GateNodes.mix": Call(c.GateNodes(cell, 4).mix, {"gain": np.array([0.2])}),
        "Interior": Call(c.Interior, {"g": g, "wires": wires}),
        "Interior.solve": Call(c.Interior(g, wires).solve, {"v": v, "v_sense": 0.0}),
        "Multiport.power": Call(port.power, {"v": v}),
        "Multiport.source_currents": Call(port.source_currents, {"v": v}),
        "reduce_array": Call(c.reduce_array, {"g": g, "wires": wires}),
        "transfer_matrices": Call(c.transfer_matrices, {"g": g[None], "wires": wires, "dtype": np.float64}),
        "transfer_matrix": Call(c.transfer_matrix, {"g": g, "wires": wires}),
        "transfer_gradient": Call(c.transfer_gradient, {"g": g, "wires": wires, "d_transfer": np.ones((2, 3))}),
        "wire_gradient": Call(c.wire_gradient, {"g": g, "wires": wires, "d_transfer": np.ones((2, 3))}),
        "StackedFamily.at": Call(stacked.at, {"gains": np.array([[0.3, 0.4]])}),
        "StackedFamily.currents": Call(stacked.currents, {"gains": np.array([[0.3, 0.4]]), "v": np.ones((1, 1, 4))}),
        "stacked_family": Call(
            c.stacked_family, {"conductances": [lambda gain: gain * g], "nodes": nodes, "wires": wires}
        ),
        "Bias": Call(c.Bias, {}),
        "write_array": Call(
            c.write_array,
            {"cells": drawn, "g_filament_targets": g, "wires": wires, "scheme": d.WriteVerify(), "rng": rng()},
        ),
    }  # fmt: skip
