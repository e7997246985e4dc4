"""One key for the technology node: pitch, wires and voltages follow it unless they are given."""

from functools import partial

import pytest

from crossbar.prices.technology import supply
from devices.errors import ParameterError
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware

approx = partial(pytest.approx, abs=0.0)


def test_node__moves_pitch_wires_and_voltages_together():
    """At 32 nm a wire is 56 nm wide and has 6.56 ohm/µm (NeuroSim); a cell of two half pitches is 112 nm."""
    chip = Hardware().with_values(["costs.node=32e-9"])
    assert chip.costs.pitch == approx(112e-9, rel=1e-9)
    assert chip.wires.r_row == approx(1.06 * (6.555 * 112) / (13.257 * 80), rel=1e-3)
    assert chip.wires.r_row == chip.wires.r_column == approx(0.734, rel=1e-2)
    assert chip.costs.v_pulse == approx(0.8 * 0.9 / 0.85, rel=1e-6)
    assert chip.sense.v_supply == chip.costs.v_pulse
    assert (chip.wires.r_driver, chip.costs.c_wire) == (100.0, 2e-10)


def test_node__and_back_is_the_same_chip():
    there = Hardware().with_values(["costs.node=130e-9"])
    back = there.with_values(["costs.node=22e-9"])
    assert back.wires.r_row == approx(1.06, rel=1e-12)
    assert back.costs.pitch == approx(80e-9, rel=1e-12)
    assert back.costs.v_pulse == approx(0.8, rel=1e-12)


def test_node__leaves_what_is_given():
    chip = Hardware().with_values(["costs.node=32e-9", "wires.r_row=5", "costs.v_pulse=1.1", "sense.v_supply=1.2"])
    assert (chip.wires.r_row, chip.costs.v_pulse, chip.sense.v_supply) == (5.0, 1.1, 1.2)
    assert chip.wires.r_column == approx(0.734, rel=1e-2)
    assert chip.costs.pitch == approx(112e-9, rel=1e-9)


def test_pitch__moves_the_wires_alone():
    chip = Hardware().with_values(["costs.pitch=160e-9"])
    assert chip.wires.r_row == approx(2.12, rel=1e-12)
    assert (chip.costs.node, chip.costs.v_pulse) == (22e-9, 0.8)
    both = Hardware().with_values(["costs.pitch=80e-9", "costs.node=14e-9"])
    assert both.costs.pitch == 80e-9
    assert both.wires.r_row == approx(1.06 * 40.64 / 13.257, rel=1e-3)  # narrower wires over the same length


def test_node__in_a_file(tmp_path):
    (tmp_path / "mine.toml").write_text("[costs]\nnode = 32e-9\n[wires]\nr_column = 9.0\n", encoding="utf-8")
    chip = load_hardware(tmp_path / "mine.toml")
    assert chip.costs.pitch == approx(112e-9, rel=1e-9)
    assert chip.wires.r_column == 9.0
    assert chip.wires.r_row == approx(0.734, rel=1e-2)


def test_node__beyond_the_table_keeps_the_last_wires():
    chip = Hardware().with_values(["costs.node=3e-9"])
    seven = Hardware().with_values(["costs.node=7e-9"])
    assert chip.costs.pitch == approx(seven.costs.pitch, rel=1e-12)
    assert chip.wires.r_row == approx(seven.wires.r_row, rel=1e-12)
    assert supply(3e-9) < supply(7e-9)


def test_ideal_wires__stay_ideal():
    chip = load_hardware("ideal").with_values(["costs.node=130e-9"])
    assert (chip.wires.r_row, chip.wires.r_column) == (0.0, 0.0)


def test_gate_capacitance__is_the_cell_s():
    """One key: the charge of gates and the settling of their lines follow cell.c_gate."""
    usual, twice = Hardware(), Hardware().with_values(["cell.c_gate=3.1e-3"])
    assert (usual.periphery.c_gate, twice.periphery.c_gate) == (1.55e-3, 3.1e-3)
    assert load_hardware("isaac_like").periphery.c_gate == 0.0


@pytest.mark.parametrize("key", ["costs.pitch", "costs.node"])
@pytest.mark.parametrize("value", [5e-324, 1e-200, 1e200])
def test_lengths__beyond_bounds_are_refused_by_their_own_key(key, value):
    with pytest.raises(ParameterError, match=rf"\b{key.partition('.')[2]}\b"):
        Hardware().with_values([f"{key}={value}"])
