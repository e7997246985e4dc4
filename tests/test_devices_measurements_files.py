"""Measured files as instruments write them: every value, unit, sweep and limit against known numbers."""

import gzip
import os
import runpy
import zipfile
from pathlib import Path

import numpy as np
import pytest

from devices import ParameterError
from devices.measurements import read_measurement
from devices.measurements.curves import read_curves
from devices.measurements.files.headings import read_heading

DATA = Path(__file__).parent / "data" / "curves"
MADE = runpy.run_path(str(DATA / "make.py"), run_name="recipe")
V, GATES, FILAMENTS, current = MADE["V"], MADE["GATES"], MADE["FILAMENTS"], MADE["current"]
G = 2e-5
PLAIN = np.linspace(0.02, 0.4, 20)


def check(curves, v, amperes, v_gate=0.0):
    assert np.allclose(curves.v, v, rtol=1e-6, atol=1e-12)
    assert np.allclose(curves.current, amperes, rtol=1e-6, atol=1e-15)
    assert np.allclose(curves.v_gate, v_gate, rtol=1e-12, atol=0)


def written(path, lines, encoding="utf-8"):
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


# ------------------------------------------------------------------------------------------- instruments


def test_easyexpert__gate_voltages_that_stand_above_the_points_only():
    reading = read_measurement(DATA / "keysight_easyexpert.csv")
    v, gate = np.tile(V, 2), np.repeat(GATES[1:], V.size)
    check(reading.curves, v, current(v, gate), gate)
    assert reading.curves.sweep.max() == 1
    assert reading.curves.states == 1
    assert [each.unused for each in reading.tables] == [("GateI", "Vth")] * 2
    assert "gate voltage as the file states it: 1 V" in reading.tables[0].notes
    assert "Keysight EasyEXPERT" in reading.tables[0].wrote


def test_easyexpert__columns_as_rows_with_units():
    check(read_curves(DATA / "keysight_easyexpert_by_column.csv"), V, current(V))


@pytest.mark.parametrize(("ending", "library"), [("csv", None), ("xls", "xlrd"), ("xlsx", "openpyxl")])
def test_keithley_4200a__gate_steps_side_by_side(ending, library, capfd):
    if library:
        pytest.importorskip(library)
    reading = read_measurement(DATA / f"keithley_4200a.{ending}")
    v, gate = np.tile(V, 3), np.repeat(GATES, V.size)
    check(reading.curves, v, current(v, gate), gate)
    assert reading.curves.sweep.max() == 2
    assert reading.curves.states == 1  # one filament at three gate voltages
    assert len(reading.tables) == 1  # neither Calc nor Settings
    assert capfd.readouterr() == ("", "")  # xlrd's remarks go nowhere


def test_keithley_4200a__a_held_drain_voltage_and_the_limit_of_the_settings(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    gates = np.linspace(-2, 4, 25)
    amperes = np.minimum(1e-6 * np.exp(gates), 2e-5)
    book.active.title = "Data"
    for row in (["GateV", "DrainI"], *zip(gates.tolist(), amperes.tolist(), strict=True)):
        book.active.append(list(row))
    settings = book.create_sheet("Settings")
    for row in (
        ["Device Terminal", "Drain", "Gate"],
        ["Forcing Function", "Voltage Bias", "Voltage Sweep"],
        ["Start/Level", 0.1, -2.0],
        ["Compliance", 2e-5, 0.1],
        ["Measure V", "Programmed", "Programmed"],
    ):
        settings.append(row)
    book.save(tmp_path / "transfer.xlsx")
    reading = read_measurement(tmp_path / "transfer.xlsx")
    check(reading.curves, 0.1, amperes, gates)
    held = amperes == 2e-5
    assert np.array_equal(reading.curves.measured, ~held)
    assert "the voltage is the one that the file states as held" in reading.tables[0].notes


def test_arc_one__one_cell_of_an_array_and_the_cycles_of_its_tracer():
    with pytest.raises(ParameterError, match=r"holds 2 cells of an array.*--only Wordline=2,Bitline=5"):
        read_curves(DATA / "arc_one.csv")
    curves = read_curves(DATA / "arc_one.csv", only={"Wordline": "2", "Bitline": "5"})
    v = np.tile(V[V != 0.0], 2)
    check(curves, v, current(v, 0.0, np.repeat(FILAMENTS, V.size - 1)))
    assert np.array_equal(curves.sweep, np.repeat([0, 1], V.size - 1))
    assert curves.states == 2
    with pytest.raises(ParameterError, match=r"there is no column 'wordlin' to choose rows by; the header has"):
        read_curves(DATA / "arc_one.csv", only={"wordlin": "2"})


def test_arc_one__also_packed(tmp_path):
    path = tmp_path / "arc.csv.gz"
    path.write_bytes(gzip.compress((DATA / "arc_one.csv").read_bytes()))
    assert read_curves(path, only={"Wordline": "3"}).v.size == V.size - 1
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ParameterError, match="cannot be unpacked"):
        read_curves(path)


def test_labview__decimal_commas_and_channels_told_apart_by_their_units():
    curves = read_curves(DATA / "labview.lvm")
    check(curves, V, current(V))
    assert np.allclose(curves.time, 0.1 * np.arange(V.size), rtol=1e-9, atol=1e-12)


def test_origin__pairs_of_unlike_length_units_and_comments_in_utf_16():
    curves = read_curves(DATA / "origin.txt")
    v = np.concatenate([V, V[:-2]])
    check(curves, v, current(v, 0.0, np.repeat(FILAMENTS, [V.size, V.size - 2])))
    assert np.array_equal(curves.state, np.repeat([0, 1], [V.size, V.size - 2]))


@pytest.mark.parametrize("name", ["savetxt.txt", "savetxt_header.txt", "savetxt_commas.csv"])
def test_savetxt__with_and_without_a_header_and_with_a_numbering(name):
    check(read_curves(DATA / name), V, current(V))


def test_savetxt__three_columns_without_names_want_to_be_told(tmp_path):
    path = tmp_path / "t.txt"
    np.savetxt(path, np.column_stack([current(V), V, 0 * V + 1.5]))
    with pytest.raises(ParameterError, match=r"3 columns have no names; .* --columns voltage=1,current=2"):
        read_curves(path)
    check(read_curves(path, {"voltage": "2", "current": "1", "gate": "3"}), V, current(V), 1.5)


# --------------------------------------------------------------------------------------- shapes of tables

SAME = {
    "DrainI, DrainV, GateV": ["DrainI\tDrainV\tGateV", *(f"{G * v:.6g}\t{v:.6g}\t0" for v in PLAIN)],
    "AI, AV": ["Time\tAI\tAV", *(f"{k}\t{G * v:.6g}\t{v:.6g}" for k, v in enumerate(PLAIN))],
    "Smu1.V[1][1]": [
        "Item,Smu1.Time[1][1],Smu1.V[1][1],Smu1.I[1][1],",
        *(f"{k},{k},{v:.6g},{G * v:.6g}," for k, v in enumerate(PLAIN)),
    ],
    "V1, I1, absI": ["V1,I1,absI", *(f"{v:.6g},{G * v:.6g},{G * v:.6g}" for v in PLAIN)],
    "small units": ["voltage_v,current_a", *(f"{v:.6g},{G * v:.6g}" for v in PLAIN)],
    "units in words": ["Voltage (Volts),Current (microamps)", *(f"{v:.6g},{1e6 * G * v:.6g}" for v in PLAIN)],
    "a numbering called id": [
        "id,voltage,Measured Current (A)", *(f"{k + 1},{v:.6g},{G * v:.6g}" for k, v in enumerate(PLAIN)),
    ],
    "a numbering that begins anew": ["V,I_D (A),Id", *(f"{v:.6g},{G * v:.6g},{k % 5}" for k, v in enumerate(PLAIN))],
    "decimal commas": ["Voltage (V)\tCurrent (A)", *(f"{v:.6g}\t{G * v:.6g}".replace(".", ",") for v in PLAIN)],
    "spaces": ["V I", *(f"{v:.6g} {G * v:.6g}" for v in PLAIN)],
    "a comma at the end": ["V,I", *(f"{v:.6g},{G * v:.6g}," for v in PLAIN)],
    "a title": ["Device 3 of wafer B", "V,I", *(f"{v:.6g}, {G * v:.6g}" for v in PLAIN)],
    "a preamble with numbers": [
        "Sample,3", "Compliance,0.001", "101,101", "V,I", *(f"{v:.6g},{G * v:.6g}" for v in PLAIN),
    ],
    "units below": ["Voltage,Current", "mV,A", *(f"{1e3 * v:.6g},{G * v:.6g}" for v in PLAIN)],
    "EasyEXPERT": [
        "SetupTitle, I/V Sweep", "Dimension1, 20", "DataName, V1, I1",
        *(f"DataValue, {v:.6g}, {G * v:.6g}" for v in PLAIN),
    ],
    "EasyEXPERT without tags": ["20, 20", "1, 1", "Vd, Id", "V, A", *(f"{v:.6g}, {G * v:.6g}" for v in PLAIN)],
    "a footer": ["V,I", *(f"{v:.6g},{G * v:.6g}" for v in PLAIN), "end of test", "Duration,12"],
    "resistance": ["Voltage (V);Resistance (kOhm)", *(f"{v:.6g};{1e-3 / G:.6g}" for v in PLAIN)],
    "programmed beside measured": [
        "V_set (V),V_meas (V),I (A)", *(f"{v + 0.01:.6g},{v:.6g},{G * v:.6g}" for v in PLAIN),
    ],
    "a density beside it": ["V (V),J (A/cm2),I (A)", *(f"{v:.6g},{v:.6g},{G * v:.6g}" for v in PLAIN)],
    "gate current beside it": ["Vd (V),Id (uA),Ig (nA)", *(f"{v:.6g},{1e6 * G * v:.6g},{v:.6g}" for v in PLAIN)],
    "units alone": ["V,A", *(f"{v:.6g},{G * v:.6g}" for v in PLAIN)],
    "words around": ["TE Voltage (V) - Plot 0\tDevice current (A) - Plot 0", *(f"{v:.6g}\t{G * v:.6g}" for v in PLAIN)],
    "an id of the device": ["id,V,I (A)", *(f"7,{v:.6g},{G * v:.6g}" for v in PLAIN)],
    "EC-Lab": ["Ewe/V\t<I>/mA", *(f"{v:.6g}\t{1e3 * G * v:.6g}" for v in PLAIN)],
    "pandas": ["V (V),I (A),V (V).1,I (A).1", *(f"{v:.6g},{G * v:.6g},," for v in PLAIN)],
    "a clock": ["Time,V,I", *(f"14:03:{k:02},{v:.6g},{G * v:.6g}" for k, v in enumerate(PLAIN))],
    "bars": ["V|I", *(f"{v:.6g}|{G * v:.6g}" for v in PLAIN)],
    "a Unicode minus": ["V,I", *(f"{v:.6g},{G * v:.6g}".replace("-", "\u2212") for v in PLAIN)],
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_read_curves__the_same_points_in_every_shape(case, tmp_path):
    curves = read_curves(written(tmp_path / "t.csv", SAME[case]))
    assert np.allclose(curves.v, PLAIN, rtol=1e-5, atol=0)
    assert np.allclose(curves.current, G * PLAIN, rtol=1e-5, atol=0)
    assert not np.any(curves.v_gate)
    assert curves.states == 1


@pytest.mark.parametrize(
    ("heading", "encoding"),
    [("Current (µA)", "cp1252"), ("Current (µA)", "utf-16"), ("Current (µA)", "utf-16-le"),
     ("Current (µA)", "utf-8-sig"), ("電流 (uA)", "cp932"), ("电流 (uA)", "gb18030")],
)  # fmt: skip
def test_read_curves__encodings(heading, encoding, tmp_path):
    volts = {"cp932": "電圧 (V)", "gb18030": "电压 (V)"}.get(encoding, "Voltage (V)")
    title = {"cp932": "測定日時と試料の番号", "gb18030": "测量日期和样品编号"}.get(encoding, "Messung für Gerät 3")
    rows = [title, f"{volts};{heading}", *(f"{v:.6g};{1e6 * G * v:.6g}" for v in PLAIN)]
    curves = read_curves(written(tmp_path / "t.csv", rows, encoding))
    assert np.allclose(curves.current, G * PLAIN, rtol=1e-5, atol=0)


def test_read_curves__a_line_of_units_is_no_header(tmp_path):
    table = read_measurement(
        written(tmp_path / "t.csv", ["Voltage,Current", "mV,A", *(f"{v:g},{v:g}e-6" for v in PLAIN)])
    ).tables[0]
    assert [(each.title, each.written) for each in table.columns] == [("Current", "A"), ("Voltage", "mV")]


def test_read_curves__stacked_sweeps_and_one_file_each(tmp_path):
    blocks = [["V,I", *(f"{v:.6g},{g * v:.6g}" for v in PLAIN)] for g in (1e-6, 2e-6, 3e-6)]
    stacked = read_curves(written(tmp_path / "all.csv", [line for block in blocks for line in block]))
    texts = ["V,I", *(line for k, block in enumerate(blocks) for line in (f"Sweep no {k}", *block[1:]))]
    between = read_curves(written(tmp_path / "text.csv", texts))
    each = read_curves([written(tmp_path / f"{k}.csv", block) for k, block in enumerate(blocks)])
    for curves in (stacked, between, each):
        assert np.array_equal(curves.sweep, np.repeat([0, 1, 2], PLAIN.size))
        assert np.array_equal(curves.state, curves.sweep)
        assert np.allclose(curves.current, np.repeat([1e-6, 2e-6, 3e-6], PLAIN.size) * curves.v, rtol=1e-5, atol=0)
    assert each.source.count(".csv") == 3


def test_read_curves__currents_side_by_side_over_one_voltage_with_gates_in_their_names(tmp_path):
    head = "V (V)," + ",".join(f"I (Vg = {gate:g} V) (uA)" for gate in GATES)
    rows = [head, *(",".join([f"{v:g}", *(f"{1e6 * current(v, gate):.9g}" for gate in GATES)]) for v in V)]
    curves = read_curves(written(tmp_path / "t.csv", rows))
    v, gate = np.tile(V, 3), np.repeat(GATES, V.size)
    check(curves, v, current(v, gate), gate)
    assert curves.states == 1


def test_read_curves__channels_are_sweeps_only_where_their_voltages_agree(tmp_path):
    same = ["V1,I1,V2,I2", *(f"{v:.6g},{G * v:.6g},{v:.6g},{2 * G * v:.6g}" for v in PLAIN)]
    curves = read_curves(written(tmp_path / "a.csv", same))
    assert np.allclose(curves.current, np.concatenate([G * PLAIN, 2 * G * PLAIN]), rtol=1e-5, atol=0)
    other = ["V1,I1,V2,I2", *(f"{v:.6g},{G * v:.6g},1,1e-12" for v in PLAIN)]  # a drain and a gate
    path = written(tmp_path / "b.csv", other)
    with pytest.raises(
        ParameterError, match=r"columns 'V1' and 'V2' both hold the v; choose with --columns voltage=V2"
    ):
        read_curves(path)
    curves = read_curves(path, {"voltage": "V1", "current": "I1", "gate": "V2"})
    check(curves, np.round(PLAIN, 6), np.round(curves.current, 12), 1.0)


def test_read_curves__a_measured_gate_voltage_has_levels(tmp_path, rng):
    rows = [(v, G * v * (1 + gate), gate + 1e-4 * rng.standard_normal()) for gate in GATES for v in PLAIN]
    curves = read_curves(written(tmp_path / "t.csv", ["V,I,Vg", *(f"{v:g},{i:g},{g:.6f}" for v, i, g in rows)]))
    assert curves.gates.size == 3
    assert np.allclose(curves.gates, GATES, atol=1e-4, rtol=0)
    assert (curves.sweep.max(), curves.states) == (2, 1)


def test_read_curves__a_fine_gate_sweep_keeps_its_steps(tmp_path):
    gates = np.linspace(-30, 70, 201)
    curves = read_curves(written(tmp_path / "t.csv", ["Vg,V,I", *(f"{g:g},0.1,1e-6" for g in gates)]))
    assert np.array_equal(curves.gates, gates)


@pytest.mark.parametrize("marker", ["9.91E+37", "-9.9E+37", "199.999E+99", "#REF", "#N/A", "OVFLW"])
def test_read_curves__marks_of_no_reading_leave_their_point_out_with_its_line(marker, tmp_path):
    rows = ["V,I", *(f"{v:.6g},{G * v:.6g}" for v in PLAIN)]
    rows[7] = rows[7].split(",")[0] + "," + marker
    reading = read_measurement(written(tmp_path / "t.csv", rows))
    assert np.allclose(reading.curves.v, np.delete(PLAIN, 6), rtol=1e-5, atol=0)
    assert reading.tables[0].notes == ("1 points without a reading are left out (line 8)",)


# --------------------------------------------------------------------------------------------- compliance


def limited(path, volts, amperes):
    return written(path, ["V (V),I (A)", *(f"{v:.6g},{i:.8g}" for v, i in zip(volts, amperes, strict=True))])


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_limits__a_plateau_at_programmed_voltages_is_found_and_censored(noise, tmp_path, rng):
    v = np.linspace(0.02, 1.0, 50)
    amperes = np.minimum(2e-4 * v, 1e-4) * (1.0 + noise * rng.standard_normal(50))
    reading = read_measurement(limited(tmp_path / "t.csv", v, amperes))
    limit = reading.limits[0]
    assert limit.current == pytest.approx(1e-4, rel=max(2 * noise, 1e-3), abs=0)
    assert (limit.programmed, limit.found) == (True, True)
    assert np.array_equal(reading.curves.measured, v < 0.49) or noise
    assert np.count_nonzero(reading.curves.measured) in range(22, 26)
    assert "stand at a compliance limit of 0.0001 A (found in the data)" in reading.curves.notes[-1] or noise


def test_limits__measured_voltages_lie_on_the_curve_and_are_kept(tmp_path, rng):
    programmed = np.linspace(0.02, 1.0, 50)
    v = np.minimum(programmed, 0.5) * (1.0 + 1e-5 * rng.standard_normal(50))
    path = limited(tmp_path / "t.csv", v, np.minimum(2e-4 * programmed, 1e-4))
    assert not read_measurement(path).limits  # nothing is strange about it
    reading = read_measurement(path, compliance=1e-4)
    assert reading.curves.measured.all()
    assert (reading.limits[0].points, reading.limits[0].programmed) == (26, False)
    assert read_measurement(path, compliance=1e-4, recorded="programmed").curves.measured.sum() == 24


def test_limits__a_given_limit_counts_for_single_points_and_both_signs(tmp_path):
    v = np.linspace(-0.5, 0.5, 21)
    reading = read_measurement(limited(tmp_path / "t.csv", v, np.clip(2e-4 * v, -9e-5, 9e-5)), compliance=9e-5)
    assert np.array_equal(np.abs(v) < 0.45 - 1e-9, reading.curves.measured)
    assert {limit.current for limit in reading.limits} == {9e-5, -9e-5}


def cell_to_limit(shape):
    """Voltages and currents of a curved cell whose limit of 100 uA has some shape."""
    v = np.linspace(0.02, 1.0, 50)
    free = 2e-4 * 0.3 * np.sinh(v / 0.3) / np.cosh(v / 0.6)
    return v, np.where(free > 1e-4, shape(v, free), free), free > 1e-4


@pytest.mark.parametrize(
    ("what", "shape"),
    [
        ("gives way", lambda v, free: 1e-4 * (1.0 + 0.15 * (v - 0.5))),
        ("falls", lambda v, free: 1e-4 * (1.0 - 0.15 * (v - 0.5))),
        ("noisy", lambda v, free: 1e-4 * (1.0 + 0.02 * np.random.default_rng(0).standard_normal(v.size))),
        ("overshoots", lambda v, free: np.where(v < v[free > 1e-4].min() + 0.03, 1.08e-4, 1e-4)),
        ("hard", lambda v, free: np.full(v.size, 1e-4)),
    ],
)
def test_limits__of_every_shape_are_found_whole(what, shape, tmp_path):
    """A point that is left at its limit would be fitted as physics."""
    v, current, held = cell_to_limit(shape)
    reading = read_measurement(limited(tmp_path / "t.csv", v, current))
    assert reading.limits, what
    assert reading.limits[0].current == pytest.approx(1e-4, rel=0.06, abs=0)
    missed = held & reading.curves.measured
    wrong = ~held & ~reading.curves.measured
    assert np.count_nonzero(missed) <= (2 if what == "noisy" else 0)
    assert np.count_nonzero(wrong) <= 1


@pytest.mark.parametrize("step", [0.02, 0.002])
def test_limits__an_ordinary_curve_with_noise_has_none(step, tmp_path, rng):
    v = np.arange(step, 0.4, step)
    reading = read_measurement(limited(tmp_path / "t.csv", v, G * v * (1.0 + 0.01 * rng.standard_normal(v.size))))
    assert not reading.limits
    assert reading.curves.censored is None


def test_limits__the_rounded_maximum_of_a_reset_is_none(tmp_path):
    """Up to 0.5 V the current grows, then it falls as the cell resets."""
    v = np.linspace(0.01, 1.0, 100)
    amperes = -1e-4 * v / (1.0 + np.exp((v - 0.62) / 0.05))
    assert not read_measurement(limited(tmp_path / "t.csv", -v, amperes)).limits
    there_and_back = np.concatenate([v, v[::-1]])
    set_at_limit = np.where(there_and_back < 0.4, 1e-6 * there_and_back, 1e-4)
    set_at_limit[100:] = np.minimum(1e-3 * v[::-1], 1e-4)
    reading = read_measurement(limited(tmp_path / "u.csv", there_and_back, set_at_limit))
    assert [limit.current for limit in reading.limits] == [1e-4]
    assert np.count_nonzero(~reading.curves.measured) == np.count_nonzero(set_at_limit >= 0.995e-4)


def test_limits__the_file_of_easyexpert_states_its_own(tmp_path):
    v = np.linspace(0.02, 0.4, 20)
    rows = ["SetupTitle, x", "TestParameter, Channel.IName, I1, I2", "TestParameter, Channel.VName, V1, V2",
            "TestParameter, Channel.Func, VAR1, CONST", "TestParameter, Measurement.Bias.Compliance, 5E-06, 0.1",
            "DataName, V1, I1", *(f"DataValue, {x:.6g}, {min(G * x, 5e-6):.6g}" for x in v)]  # fmt: skip
    reading = read_measurement(written(tmp_path / "t.csv", rows))
    assert (reading.limits[0].current, reading.limits[0].found) == (5e-6, False)
    assert np.array_equal(reading.curves.measured, G * v < 5e-6 * 0.99)


# ---------------------------------------------------------------------------------------------- refusals


def test_columns__as_the_user_says(tmp_path):
    path = written(tmp_path / "t.csv", ["X,Y (nA),Z,X", *(f"{v:.6g},{1e9 * G * v:.6g},2,5" for v in PLAIN)])
    with pytest.raises(ParameterError, match=r"there is no column 'voltage'; .* --columns voltage=X,current=X"):
        read_curves(path)
    curves = read_curves(path, {"voltage": "1", "current": "Y", "gate": "z"})
    assert np.allclose(curves.current, G * PLAIN, rtol=1e-5, atol=0)
    assert np.array_equal(curves.gates, [2.0])
    with pytest.raises(ParameterError, match=r"there is no column 'W' for voltage; the header has 'X', 'Y \(nA\)'"):
        read_curves(path, {"voltage": "W", "current": "Y"})
    with pytest.raises(ParameterError, match=r"columns are chosen by voltage, current, gate, .*, got 'volts'"):
        read_curves(path, {"volts": "X"})


BAD = {
    "scaled currents": (
        ["V,I", *(f"{v:g},{1e9 * v:g}" for v in PLAIN)],
        r"line 2: I must be at most 1000 A in size, got 2e\+07 A",
    ),
    "scaled voltages": (["V,I", *(f"{1e9 * v:g},{v:g}" for v in PLAIN)], r"line 2: V must be at most 10000 V in size"),
    "beyond any": (["V,I", *(f"{v:g},{v}e308" for v in PLAIN)], r"line 2: I must be (at most 1000 A|finite)"),
    "commas in commas": (
        ["V,I", *(f"{v:.2f},{1e6 * G * v:.3f}".replace(".", ",") for v in PLAIN)],
        "decimal commas cannot be told from commas",
    ),
    "gate in some": (
        ["V,I,Vg", *(f"{v:g},{v:g},1" for v in PLAIN), "V,I", *(f"{v:g},{v:g}" for v in PLAIN)],
        "some sweeps have a gate voltage",
    ),
    "zero ohms": (["V,R", *(f"{v:g},0" for v in PLAIN)], "a resistance of 0 Ω"),
    "marks alone": (["V,I", *(f"{v:g},9.91e37" for v in PLAIN)], "has 0 points: five are the least"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_read_curves__refuses_in_one_sentence(case, tmp_path):
    rows, message = BAD[case]
    with pytest.raises(ParameterError, match=message) as caught:
        read_curves(written(tmp_path / "t.csv", rows))
    assert "\n" not in str(caught.value)


def test_read_curves__refuses_other_files(tmp_path):
    path = tmp_path / "run.xlsx"
    pytest.importorskip("openpyxl")
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    with pytest.raises(ParameterError, match=r"is no Excel workbook that can be read .* save its sheet as CSV"):
        read_curves(path)
    np.save(tmp_path / "a.npy", np.zeros((5, 2)))
    with pytest.raises(ParameterError, match="cannot be read as text: export it as CSV"):
        read_curves(tmp_path / "a.npy")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ParameterError, match="it is no regular file"):
        read_curves(tmp_path / "fifo")
    with pytest.raises(ParameterError, match="there is no file to read"):
        read_curves([])
    with pytest.raises(ParameterError, match="recorded must be measured or programmed, got 'x'"):
        read_curves(DATA / "savetxt.txt", recorded="x")
    with pytest.raises(ParameterError, match="compliance must be > 0 A"):
        read_curves(DATA / "savetxt.txt", compliance=0.0)


@pytest.mark.parametrize(
    ("title", "quantity", "scale"),
    [("I", "current", 1), ("Drain Current I_D (nA)", "current", 1e-9), ("|I| (A)", None, 1), ("dI/dV", None, 1),
     ("log I", None, 1),
     ("Current density (A/cm2)", None, 1), ("GateI", "i_gate", 1), ("Gate Voltage [mV]", "v_gate", 1e-3),
     ("Strom (µA)", "current", 1e-6),
     ("電圧(V)", "v", 1), ("Applied Voltage (V)", "v", 1), ("Time (ms)", "time", 1e-3), ("Index", "number", 1),
     ("Remarks", None, 1)],
)  # fmt: skip
def test_headings__say_quantity_and_unit(title, quantity, scale):
    found = read_heading(title)
    assert found.quantity == quantity
    assert quantity is None or found.scale == scale


def test_read_curves__random_damage_ends_in_points_or_in_one_sentence(tmp_path, rng):
    """Bytes of every fixture changed, removed and doubled: nothing but a ParameterError comes out."""
    path = tmp_path / "t.csv"
    for name in (
        "keysight_easyexpert.csv",
        "arc_one.csv",
        "labview.lvm",
        "origin.txt",
        "savetxt.txt",
        "keithley_4200a.csv",
    ):
        data = (DATA / name).read_bytes()
        for _ in range(25):
            broken = bytearray(data)
            for _ in range(int(rng.integers(1, 12))):
                at = int(rng.integers(len(broken)))
                kind = rng.integers(3)
                if kind == 0:
                    broken[at] = int(rng.integers(256))
                elif kind == 1:
                    del broken[at : at + int(rng.integers(1, 40))]
                else:
                    broken[at:at] = broken[at : at + int(rng.integers(1, 40))]
                if not broken:
                    break
            path.write_bytes(bytes(broken))
            try:
                curves = read_curves(path, only={"Wordline": "2"} if name == "arc_one.csv" else None)
            except ParameterError as error:
                assert "\n" not in str(error)  # noqa: PT017 either way is right
            else:
                assert np.all(np.isfinite(curves.current))


def test_columns__a_column_of_names_is_no_current(tmp_path):
    """A text under 'id' stands for the device; its name alone reads as the drain current."""
    rows = ["id,V,I", *(f"D{k % 3},{v:.3g},{2e-5 * v:.6g}" for k, v in enumerate(PLAIN))]
    reading = read_measurement(written(tmp_path / "t.csv", rows))
    assert np.allclose(reading.curves.current, 2e-5 * PLAIN, rtol=1e-4, atol=0)


def test_columns__the_proposal_keeps_what_was_found(tmp_path):
    rows = ["id,V,y", *(f"{k},{v:.3g},{2e-5 * v:.6g}" for k, v in enumerate(PLAIN))]
    with pytest.raises(ParameterError, match=r"--columns voltage=V,current=y$"):
        read_measurement(written(tmp_path / "t.csv", rows))
