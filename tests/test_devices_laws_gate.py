"""The gate: textbook graphene as reference, the exact inverse, and the transfer table of docs/equations/cells.md."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.constants import e, hbar

from devices import AdaptiveMemristor, ParameterError
from devices.cells.presets import two_terminal
from devices.laws import gate

CELL = AdaptiveMemristor()
ATTENTION = np.array([0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 1.0])


def rising(cell, part):
    """Read gain at a part of the way from the lower to the upper end of the gate window."""
    return cell.gain_low + part * (cell.gain_high - cell.gain_low)


@given(
    sign=st.sampled_from([-1.0, 1.0]),
    log_n=st.floats(12, 18),
    n_0=st.floats(1e14, 1e17),
    c_gate=st.floats(1e-5, 1e-1),
    v_dirac=st.floats(-2, 2),
)
def test_fermi_energy__textbook_from_the_carrier_density(sign, log_n, n_0, c_gate, v_dirac):
    """The density is chosen, the energy and the voltage follow by the textbook; the kernel goes the other way."""
    cell = AdaptiveMemristor(n_0=n_0, c_gate=c_gate, v_dirac=v_dirac)
    n = sign * 10.0**log_n
    energy = hbar * cell.v_fermi * math.sqrt(math.pi) / e * n / (n * n + n_0 * n_0) ** 0.25
    beyond = e * n / c_gate + energy
    # the voltage is known to a rounding of its own size, dirac shift included
    tolerance = 1e-12 + 4e-16 * abs(v_dirac) / abs(beyond)
    assert cell.fermi_energy(v_dirac + beyond) == pytest.approx(energy, rel=tolerance)


@given(u=st.floats(-1e3, 1e3), e_residual=st.floats(1e-6, 3.0), e_quantum=st.floats(1e-6, 1e2))
def test_fermi_energy__newton_reaches_rounding_for_all_parameters(u, e_residual, e_quantum):
    law = CELL.law._replace(e_residual=e_residual, e_quantum=e_quantum)
    assert gate.overdrive(law, gate.fermi_energy(law, u)) == pytest.approx(u, rel=2e-14, abs=1e-300)


def test_fermi_energy__limits():
    cell = AdaptiveMemristor(n_0=1.0, c_gate=1e-9)  # hardly a gate: all voltage goes into charge
    n = cell.c_gate * 3.0 / e
    assert cell.fermi_energy(3.0) == pytest.approx(hbar * cell.v_fermi * math.sqrt(math.pi * n) / e, rel=1e-2)
    cell = AdaptiveMemristor(c_gate=1e6)  # a perfect gate: all voltage goes into the Fermi level
    assert cell.fermi_energy(0.3) == pytest.approx(0.3, rel=1e-5)


def test_fermi_energy__zero_at_the_dirac_point_and_odd_about_it():
    cell = AdaptiveMemristor(v_dirac=0.5)
    assert cell.fermi_energy(0.5) == 0.0
    shifts = np.array([1e-9, 0.01, 1.0, 3.0])
    assert np.allclose(cell.fermi_energy(0.5 + shifts), -cell.fermi_energy(0.5 - shifts), rtol=1e-6, atol=0)


def test_gate_gain__window_ends():
    assert CELL.gain_low == pytest.approx(0.0106, abs=5e-5)
    assert CELL.gain_high == pytest.approx(0.917, abs=5e-4)
    assert CELL.gain_high / CELL.gain_low == pytest.approx(86, abs=0.5)


def test_gate_voltage__transfer_table():
    table = [-2.00, 0.064, 0.232, 0.642, 1.30, 2.13, 2.94, 4.00]
    assert np.allclose(CELL.gate_voltage(rising(CELL, ATTENTION)), table, rtol=0, atol=[5e-3] + [6e-4] * 3 + [5e-3] * 4)


def test_gate_gain__slopes_of_the_transfer_table():
    table = [0.001, 0.242, 0.336, 0.383, 0.358, 0.240, 0.137, 0.062]
    v = CELL.gate_voltage(rising(CELL, ATTENTION))
    slope = (CELL.gate_gain(v + 1e-5) - CELL.gate_gain(v - 1e-5)) / 2e-5 / (CELL.gain_high - CELL.gain_low)
    assert np.allclose(slope, table, rtol=0, atol=6e-4)


def test_gate_gain__heating_moves_it_as_published():
    warm = AdaptiveMemristor(temperature=350.0)
    v = CELL.gate_voltage(rising(CELL, np.array([0.10, 0.25, 0.50, 0.90])))
    part = (warm.gate_gain(v) - CELL.gain_low) / (CELL.gain_high - CELL.gain_low)
    assert np.allclose(part, [0.134, 0.285, 0.507, 0.863], rtol=0, atol=1e-3)


def test_gate_gain__is_far_from_linear_in_voltage():
    v = np.linspace(CELL.v_gate_min, CELL.v_gate_max, 601)
    part = (CELL.gate_gain(v) - CELL.gain_low) / (CELL.gain_high - CELL.gain_low)
    line = (v - CELL.v_gate_min) / (CELL.v_gate_max - CELL.v_gate_min)
    assert np.max(np.abs(part - line)) == pytest.approx(0.30, abs=0.01)


@given(part=st.floats(1e-6, 1 - 1e-6), gain_min=st.floats(0, 0.9), v_dirac=st.floats(-1, 1), t=st.floats(200, 400))
def test_gate_voltage__undoes_gate_gain(part, gain_min, v_dirac, t):
    cell = AdaptiveMemristor(gain_min=gain_min, v_dirac=v_dirac, temperature=t)
    gain = gain_min + part * (1.0 - gain_min)
    assert cell.gate_gain(cell.gate_voltage(gain)) == pytest.approx(gain, rel=1e-12)


@given(v=st.floats(-2, 4))
def test_gate_gain__undoes_gate_voltage(v):
    # the lower end is flat: a rounding of the gain of 1e-16 is 1e-16 / slope in voltage
    slope = max((CELL.gate_gain(v + 1e-4) - CELL.gate_gain(v - 1e-4)) / 2e-4, 1e-6)
    assert CELL.gate_voltage(CELL.gate_gain(v)) == pytest.approx(v, abs=1e-14 / slope + 1e-12)


def test_gate_gain__rises_from_gain_min_to_one():
    v = np.linspace(-3.0, 5.0, 500)
    assert np.all(np.diff(CELL.gate_gain(v)) > 0)
    wide = AdaptiveMemristor(c_gate=10.0).gate_gain(np.array([-20.0, 20.0]))
    assert np.allclose(wide, [0.01, 1.0], rtol=1e-12)


def test_gain_with_offset__is_a_shift_of_the_gate_voltage():
    offset = np.array([-0.1, 0.0, 0.2])
    v = np.array([[0.0], [1.0]])
    shifted = [[AdaptiveMemristor(v_dirac=o).gate_gain(x) for o in offset] for x in v[:, 0]]
    assert np.allclose(CELL.gain_with_offset(v, offset), shifted, rtol=1e-13)


def test_gate__carriers_per_volt_of_20_nm_of_boron_nitride():
    assert CELL.c_gate == pytest.approx(3.5 * 8.8541878e-12 / 20e-9, rel=1e-3)
    assert CELL.c_gate / e == pytest.approx(9.7e15, rel=5e-3)  # 9.7e11 per cm2 and volt


@pytest.mark.parametrize("gain", [0.01, 0.0, 1.0, 1.5, -0.2, [0.5, 1.0]])
def test_gate_voltage__refuses_what_no_gate_reaches(gain):
    with pytest.raises(ParameterError, match=r"gain must lie inside \(0.01, 1\), got .* \(1 of"):
        CELL.gate_voltage(gain)


def test_gate_voltage__refuses_a_cell_without_gate():
    with pytest.raises(ParameterError, match=r"gain must lie inside \(1, 1\), got 0.5"):
        two_terminal().gate_voltage(0.5)


def test_arrays__equal_scalars():
    v = np.linspace(-2.0, 4.0, 13)
    law = CELL.law
    assert np.allclose(CELL.gate_gain(v), [gate.read_gain(law, x) for x in v], rtol=1e-14)
    assert np.allclose(CELL.fermi_energy(v), [gate.fermi_energy(law, x) for x in v], rtol=1e-14)
