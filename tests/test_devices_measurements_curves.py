"""Measured curves: headers, units, sweeps and filaments, and every broken line named by its number."""

import numpy as np
import pytest

from devices import AdaptiveMemristor, ParameterError
from devices.measurements.curves import MOST_ROWS, Curves, read_curves, simulate_curves

V = np.linspace(-0.2, 0.2, 6)


def table(path, header, rows):
    path.write_text("\n".join([header, *(",".join(f"{x:g}" for x in row) for row in rows)]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "scales"),
    [
        ("voltage,current,v_gate", (1, 1, 1)),
        ("V,I,Vg", (1, 1, 1)),
        ("V (V),I (A),V_gate (V)", (1, 1, 1)),
        ("Voltage [mV],Current [uA],Gate Voltage [V]", (1e-3, 1e-6, 1)),
        ("voltage_V,current_nA,gate_voltage_mV", (1, 1e-9, 1e-3)),
        ("Vds/V,Ids/µA,Vgs/V", (1, 1e-6, 1)),
        ("v_d,i_d,v_g", (1, 1, 1)),
    ],
)
def test_read_curves__names_and_units(header, scales, tmp_path):
    rows = [(v, 2e-3 * v, 1.5) for v in V]
    curves = read_curves(table(tmp_path / "c.csv", header, rows))
    for values, column, scale in zip((curves.v, curves.current, curves.v_gate), np.array(rows).T, scales, strict=True):
        assert np.allclose(values, np.round(column, 6) * scale, rtol=1e-5, atol=0)  # six digits were written
    assert curves.time is None
    assert curves.states == 1


def test_read_curves__dialects_give_the_same_points(tmp_path):
    plain = tmp_path / "a.csv"
    plain.write_text("voltage,current,v_gate\n" + "".join(f"{v},{1e-6 * v},0.5\n" for v in V))
    others = {
        "\ufeff# an analyser's banner\n\nvoltage;current;v_gate;operator\n"
        + "".join(f"{v};{1e-6 * v};0.5;me\n".replace(".", ",") for v in V),
        "current\tvoltage\tv_gate\r\n" + "".join(f"{1e-6 * v}\t{v}\t0.5\r\n" for v in V),
        '"voltage", "current", "v_gate"\n' + "".join(f' {v} , "{1e-6 * v}",0.5\n\n' for v in V),
    }
    wanted = read_curves(plain)
    for text in others:
        path = tmp_path / "b.csv"
        path.write_text(text, encoding="utf-8")
        found = read_curves(path)
        for name in ("v", "current", "v_gate", "sweep", "state"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


def test_read_curves__without_a_gate_or_with_time(tmp_path):
    curves = read_curves(table(tmp_path / "c.csv", "time (ms),voltage,current", [(k, v, v) for k, v in enumerate(V)]))
    assert np.allclose(curves.time, np.arange(6) * 1e-3, rtol=1e-14)
    assert np.array_equal(curves.v_gate, np.zeros(6))


@pytest.mark.parametrize("order", ["filament, gate", "gate, filament"])
@pytest.mark.parametrize("labelled", [False, True])
def test_read_curves__the_kth_sweep_at_a_gate_voltage_is_the_kth_filament(order, labelled, tmp_path):
    """Without a column for the filament, in whatever order filaments and gate voltages were measured."""
    pairs = [(f, g) for f in range(3) for g in (-1.0, 0.0, 2.0)]
    if order == "gate, filament":
        pairs.sort(key=lambda pair: pair[1])
    rows = [(v, (f + 1) * 1e-6 * v, g, k) for k, (f, g) in enumerate(pairs) for v in V]
    header = "voltage,current,v_gate" + (",sweep" if labelled else "")
    curves = read_curves(table(tmp_path / "c.csv", header, [row if labelled else row[:3] for row in rows]))
    assert curves.sweep.max() == 8
    assert np.array_equal(curves.state, [f for f, _ in pairs for _ in V])


def test_read_curves__transfer_curves_of_one_filament(tmp_path):
    """The gate is swept and the voltage stepped; two read voltages do not make two filaments."""
    rows = [(v, 1e-6 * v, g, 7) for v in (0.1, 0.2) for g in np.linspace(-2, 4, 9)]
    curves = read_curves(table(tmp_path / "c.csv", "v,i,vg,other", rows))
    assert (curves.sweep.max(), curves.states) == (1, 1)
    assert curves.gates.size == 9


def test_read_curves__states_and_shared_sweeps_by_their_labels(tmp_path):
    rows = [(v, v, g, s) for s in (4, 2) for g in (0.0, 1.0) for v in V]
    curves = read_curves(table(tmp_path / "a.csv", "v,i,vg,state", rows))
    assert curves.state.tolist() == [0] * 12 + [1] * 12
    curves = read_curves(table(tmp_path / "b.csv", "v,i,vg,sweep", rows))  # a sweep over both voltages: one filament
    assert curves.state.tolist() == [0] * 12 + [1] * 12


BAD = {
    "empty": ("", "is empty: expected a header such as voltage,current,v_gate"),
    "comments alone": ("# nothing\n", "is empty"),
    "no voltage": ("a,current\n1,2\n", "line 1: there is no column 'voltage'; the header has 'a', 'current'"),
    "no current": ("voltage,b\n1,2\n", "line 1: there is no column 'current'"),
    "twice": ("voltage,V,current\n1,2,3\n", "line 1: columns 'voltage' and 'V' both hold the v"),
    "unit": ("voltage (A),current\n1,2\n", "line 1: the unit of 'voltage (A)' must be V with a prefix such as m or u"),
    "words": ("voltage,current\n0.1,1e-6\n0.2,abc\n", "line 3: current must be a number, got 'abc'"),
    "after comments": ("# x\nvoltage,current\n\n0.1,\n", "line 4: current must be a number, got ''"),
    "nan": ("voltage,current\n0.1,nan\n", "line 2: current must be finite, got 'nan'"),
    "inf": ("voltage,current\ninf,1\n", "line 2: voltage must be finite, got 'inf'"),
    "short line": ("voltage,current\n0.1,1\n0.2\n", "line 3: expected 2 values as in the header, got 1"),
    "long line": ("voltage,current\n0.1,1,2\n", "line 2: expected 2 values as in the header, got 3"),
    "quote": ('voltage,current\n0.1,"1\n', "line 2: unexpected end of data"),
    "few points": ("voltage,current\n0.1,1\n0.2,2\n", "has 2 points: five are the least"),
    "no label": ("voltage,current,sweep\n0.1,1,\n", "line 2: sweep must not be empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_read_curves__refuses_in_one_sentence_with_the_line(case, tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(BAD[case][0], encoding="utf-8")
    with pytest.raises(ParameterError) as caught:
        read_curves(path)
    assert str(path) in str(caught.value)
    assert BAD[case][1] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_curves__files_that_are_no_tables(tmp_path):
    with pytest.raises(ParameterError, match="there is no file"):
        read_curves(tmp_path / "none.csv")
    with pytest.raises(ParameterError, match="cannot be read as text"):
        read_curves(tmp_path)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ParameterError, match="cannot be read as text"):
        read_curves(tmp_path / "image.png")
    (tmp_path / "long.csv").write_text("v,i\n" + "1,1\n" * (MOST_ROWS + 1))
    with pytest.raises(ParameterError, match=r"has 200001 points, more than 200000"):
        read_curves(tmp_path / "long.csv")


def test_read_curves__shuffled_points_want_labels(tmp_path, rng):
    rows = [(v, v, g) for g in (-1.0, 0.0, 1.0, 2.0) for v in V]
    path = table(tmp_path / "c.csv", "voltage,current,v_gate", rng.permutation(rows))
    with pytest.raises(ParameterError, match="both voltages change from line to line; add a column 'state'"):
        read_curves(path)


def test_curves__refuse_columns_that_do_not_fit():
    with pytest.raises(ParameterError, match="columns must have one length"):
        Curves(V, V[:-1], V, np.zeros(6), np.zeros(6))
    with pytest.raises(ParameterError, match="current must hold no nan"):
        Curves(V, V * np.nan, V, np.zeros(6), np.zeros(6))
    with pytest.raises(ParameterError, match="there is no point"):
        Curves(V[:0], V[:0], V[:0], np.zeros(0), np.zeros(0))
    with pytest.raises(ParameterError, match="no point is left of 6"):
        Curves(V, V, V, np.zeros(6), np.zeros(6)).where(V > 9.0)


def test_simulate_curves__without_noise_it_is_the_cell(rng):
    cell = AdaptiveMemristor()
    curves = simulate_curves(cell, [1e-6, 2e-5], V, [0.0, 3.0], rng, 0.0, 0.0)
    expected = cell.current(cell.state(np.array([1e-6, 2e-5]))[:, None, None], np.array([[0.0], [3.0]]), V)[0]
    assert np.allclose(curves.current, expected.reshape(-1), rtol=1e-12, atol=0)  # two ways through the filament
    assert curves.states == 2
    assert np.array_equal(curves.v.reshape(4, 6), np.tile(V, (4, 1)))


def test_simulate_curves__noise_has_the_sizes_asked_for(rng):
    curves = simulate_curves(AdaptiveMemristor(), 1e-5, np.full(20_000, 0.1), 4.0, rng, 0.02, 0.0)
    assert np.std(curves.current) / np.mean(curves.current) == pytest.approx(0.02, rel=0.02)  # 1 / sqrt(2 n) is 0.5 %
    quiet = simulate_curves(AdaptiveMemristor(), 1e-5, np.full(20_000, 1e-6), 4.0, rng, 0.0, 1e-9)
    assert np.std(quiet.current) == pytest.approx(1e-9, rel=0.02, abs=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filaments": [-1e-6]}, "filaments must be ≥ 0 everywhere"),
        ({"v": [[0.1]]}, r"v must be a number or a list of them, got shape \(1, 1\)"),
        ({"v_gate": []}, "v_gate must be a number or a list of them"),
        ({"noise_relative": -1}, "noise_relative must be ≥ 0"),
        ({"noise_floor": np.nan}, "noise_floor must be a real number"),
    ],
)
def test_simulate_curves__refuses(change, message, rng):
    given = {"cell": AdaptiveMemristor(), "filaments": [1e-6], "v": V, "v_gate": [0.0], "rng": rng}
    with pytest.raises(ParameterError, match=message):
        simulate_curves(**given | change)
