"""Files as six kinds of instruments and programs write them, all of one cell with known currents.

    python tests/data/curves/make.py          # the .xls needs xlwt, the .xlsx openpyxl

Structure after public descriptions of each format; every number is ours.
The cell: I = G V (1 + (V / 0.5 V)^2) (1 + V_g / 4 V).
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
V = np.round(np.linspace(-0.4, 0.4, 17), 3)
GATES = (0.0, 1.0, 2.0)
FILAMENTS = (2e-6, 4e-5)


def current(v, gate=0.0, g=2e-5):
    return g * v * (1.0 + (v / 0.5) ** 2) * (1.0 + gate / 4.0)


def lines(name, rows, encoding="utf-8", end="\n"):
    (HERE / name).write_bytes((end.join(rows) + end).encode(encoding))


def easyexpert():
    """Two records, gate voltages of 1 and 2 V held and stated above the points only, compliance of 100 uA."""
    rows = [""]
    for gate in GATES[1:]:
        rows += [
            "SetupTitle, Cell Sweep",
            "PrimitiveTest, I/V Sweep",
            "TestParameter, Context.MainFrame, B1500A",
            "TestParameter, Channel.UnitType, SMU, SMU, SMU",
            "TestParameter, Channel.IName, DrainI, SrcI, GateI",
            "TestParameter, Channel.VName, DrainV, SrcV, GateV",
            "TestParameter, Channel.Mode, V, COMMON, V",
            "TestParameter, Channel.Func, VAR1, CONST, CONST",
            f"TestParameter, Measurement.Bias.Source, -0.4, 0, {gate:g}",
            "TestParameter, Measurement.Bias.Compliance, 0.0001, 0.1, 1E-08",
            "MetaData, TestRecord.RecordTime, 11/30/2026 08:42:23",
            "MetaData, TestRecord.Remarks, ",
            "AnalysisSetup, Analysis.Setup.Title, Cell Sweep",
            f"Dimension1, {V.size}, {V.size}, {V.size}, 1",
            "Dimension2, 1, 1, 1, 1",
            "DataName, DrainV, DrainI, GateI, Vth",
        ]
        rows += [
            f"DataValue, {v:g}, {current(v, gate):.9E}, 1.5E-12, {0.3 if k == 0 else ''}".rstrip(", ")
            for k, v in enumerate(V)
        ]
    lines("keysight_easyexpert.csv", rows, end="\r\n")
    tags = ["Dimension1", "Dimension2", "DataName", "DataUnit", *["DataValue"] * V.size]
    columns = (("Vd", "V", V), ("Id", "uA", current(V) * 1e6), ("Vg", "V", 0 * V))
    rows = [", ".join(tags)]
    rows += [", ".join([str(V.size), "1", name, unit, *(f"{x:.9g}" for x in values)]) for name, unit, values in columns]
    lines("keysight_easyexpert_by_column.csv", rows)


def keithley_sheets():
    """Return Data, Calc and Settings: three gate steps side by side, a derived column, START columns behind them."""
    header = [name for k in range(3) for name in (f"DrainI({k + 1})", f"DrainV({k + 1})", f"GateV({k + 1})")]
    data = [[*header, "GM(1)", "START"]]
    for k, v in enumerate(V):
        row = [x for gate in GATES for x in (float(current(v, gate)), float(v), gate)]
        data.append([*row, "#REF", "Start" if k == 0 else ""])
    settings = [
        ["Test Name", "vds-id#1@1"],
        ["Mode", "Sweeping"],
        ["Device Terminal", "Drain", "Gate", "Source"],
        ["Instrument", "SMU1", "SMU2", "GNDU"],
        ["Forcing Function", "Voltage Sweep", "Voltage Step", "Common"],
        ["Start/Level", -0.4, 0.0, 0.0],
        ["Compliance", 0.1, 0.1, "N/A"],
        ["Measure V", "Programmed", "Programmed", "No"],
    ]
    return {"Data": data, "Calc": [["Voltage", "Current"], [1.0, 2.0], [2.0, 3.0]], "Settings": settings}


def keithley():
    import openpyxl
    import xlwt

    sheets = keithley_sheets()
    old, new = xlwt.Workbook(), openpyxl.Workbook()
    new.remove(new.active)
    for name, rows in sheets.items():
        sheet, other = old.add_sheet(name), new.create_sheet(name)
        for k, row in enumerate(rows):
            other.append(row)
            for j, cell in enumerate(row):
                sheet.write(k, j, cell)
    old.save(str(HERE / "keithley_4200a.xls"))
    new.save(HERE / "keithley_4200a.xlsx")
    lines("keithley_4200a.csv", [",".join(str(cell) for cell in row) for row in sheets["Data"]])


def arc_one():
    """Two cells of an array; the curve tracer of one ran twice."""
    rows = ["session 12", "Mon Nov 30 12:00:00 2026"]
    rows += ["Wordline,Bitline,Resistance,Amplitude (V),Pulse width (s),Tag,ReadTag,ReadVoltage"]
    points = V[V != 0.0]
    for word, bit, cycles in ((2, 5, FILAMENTS), (3, 5, FILAMENTS[:1])):
        for cycle, g in enumerate(cycles, start=1):
            for k, v in enumerate(points):
                first, last = cycle == 1 and k == 0, cycle == len(cycles) and k == points.size - 1
                tag = "CT_s" if first else "CT_e" if last else f"CT_i_{cycle}"
                rows.append(f"{word},{bit},{v / current(v, 0.0, g):.9g},{v:g},1e-05,{tag},R1 V=0.5,{v:g}")
    lines("arc_one.csv", rows)


def labview():
    """Decimal commas, tabs, channels without names: their units tell them apart."""
    rows = [
        "LabVIEW Measurement\t", "Writer_Version\t2", "Reader_Version\t2", "Separator\tTab", "Decimal_Separator\t,",
        "Multi_Headings\tNo", "X_Columns\tOne", "Time_Pref\tRelative", "Operator\tus", "Date\t2026/11/30",
        "Time\t17:18:18,938945", "***End_of_Header***\t", "\t", "Channels\t2\t\t", f"Samples\t{V.size}\t{V.size}\t",
        "Date\t2026/11/30\t2026/11/30\t", "Time\t17:18:18,9\t17:18:18,9\t", "Y_Unit_Label\tVolts\tuA\t",
        "X_Dimension\tTime\tTime\t", "X0\t0,0E+0\t0,0E+0\t", "Delta_X\t0,100000\t0,100000\t",
        "***End_of_Header***\t\t\t", "X_Value\tUntitled\tUntitled 1\tComment",
    ]  # fmt: skip
    rows += [f"{0.1 * k:.6f}\t{v:.6f}\t{current(v) * 1e6:.9f}\t".replace(".", ",") for k, v in enumerate(V)]
    lines("labview.lvm", rows, end="\r\n")


def origin():
    """Long names, units and comments above pairs of columns of two filaments, of unlike length, in UTF-16."""
    rows = ["\t".join(["Voltage", "Current"] * 2), "\t".join(["V", "µA"] * 2), "first\t\tsecond\t"]
    for k, v in enumerate(V):
        pairs = [(f"{v:g}", f"{current(v, 0.0, g) * 1e6:.9g}") for g in FILAMENTS]
        if k >= V.size - 2:
            pairs[1] = ("", "")
        rows.append("\t".join(cell for pair in pairs for cell in pair))
    lines("origin.txt", rows, "utf-16")


def savetxt():
    table = np.column_stack([V, current(V)])
    np.savetxt(HERE / "savetxt.txt", table)
    np.savetxt(HERE / "savetxt_header.txt", table, header="V (V) I (A)")
    np.savetxt(HERE / "savetxt_commas.csv", np.column_stack([np.arange(V.size), table]), delimiter=",", fmt="%.9g")


if __name__ == "__main__":
    for each in (easyexpert, keithley, arc_one, labview, origin, savetxt):
        each()
