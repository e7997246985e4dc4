"""Studies: their points, tables that survive a killed process, equal rows from any worker, effects by hand."""

import csv
import io
import json
import math
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from devices.errors import ParameterError
from mapping.cli import command as cli
from mapping.cli import sweeping
from mapping.studies.description import Parameter, Study
from mapping.studies.plots import plot_response, plot_tornado, study_figure
from mapping.studies.regression import regress
from mapping.studies.results import (
    HEAD,
    METRICS,
    TAIL,
    Results,
    answers,
    correct,
    effects,
    half_width,
    parsed,
    read_results,
)
from mapping.studies.study_files import load_study
from mapping.studies.sweeping import sweep

ROOT = Path(__file__).parents[1]
ADC = Parameter("adc.bits", (4, 8))
WIRES = Parameter(("wires.r_row", "wires.r_column"), (0.0, 1.06, 20.0), name="wires")


@pytest.fixture
def study(model):
    small = ("tile.rows=8", "tile.columns=16")
    return Study((ADC, WIRES), model, "two_terminal", small, seeds=(0, 3), images=5, calibration=6)


def without_time(results):
    return [{name: cell for name, cell in row.items() if name != "wall_s"} for row in results.rows]


# what a study expands to


def test_grid__has_every_combination_and_seed(study):
    points = study.all_points()
    assert len(points) == 2 * 3 * 2
    assert [(point.index, point.seed) for point in points] == [(i, seed) for i in range(6) for seed in (0, 3)]
    assert {point.values for point in points} == {
        (("adc.bits", bits), ("wires", ohm)) for bits in (4, 8) for ohm in (0.0, 1.06, 20.0)
    }
    _, hardware = study.resolve(points[-1])
    assert (hardware.adc.bits, hardware.wires.r_row, hardware.wires.r_column) == (8, 20.0, 20.0)
    assert (hardware.wires.r_driver, hardware.tile.rows) == (100.0, 8)


def test_one_at_a_time__is_the_base_and_what_differs_from_it(study):
    """8 bits and 1.06 ohm are what the chip has: they are the base, not points of their own."""
    points = [point for point in replace(study, sweep="one-at-a-time").all_points() if point.seed == 0]
    assert [(point.varied, point.values) for point in points] == [
        ("", ()), ("adc.bits", (("adc.bits", 4),)), ("wires", (("wires", 0.0),)), ("wires", (("wires", 20.0),)),
    ]  # fmt: skip


def test_random__longer_study_begins_with_the_shorter_one(study):
    drawn = replace(
        study, sweep="random", points=6, parameters=(ADC, Parameter("wires.r_row", low=1e-2, high=1e2, scale="log"))
    )
    longer = replace(drawn, points=40)
    assert longer.all_points()[:12] == drawn.all_points()
    assert replace(drawn, draw=1).all_points() != drawn.all_points()
    ohms = np.array([dict(point.values)["wires.r_row"] for point in replace(drawn, points=400).all_points()])
    assert ohms.min() >= 1e-2
    assert ohms.max() <= 1e2
    assert abs(np.mean(np.log10(ohms))) < 5 * (4 / math.sqrt(12)) / math.sqrt(400)  # five standard errors


def test_range__of_whole_ends_is_whole_and_reaches_both():
    assert Parameter("adc.bits", low=4, high=8, steps=5).levels() == (4, 5, 6, 7, 8)
    assert Parameter("adc.bits", low=4, high=6, steps=9).levels() == (4, 5, 6)
    levels = Parameter("wires.r_row", low=0.1, high=10.0, steps=3, scale="log").levels()
    assert levels[::2] == (0.1, 10.0)
    assert levels[1] == pytest.approx(1.0, rel=1e-12)
    drawn = [Parameter("adc.bits", low=4, high=6).draw(np.random.default_rng(i)) for i in range(300)]
    assert sorted(set(drawn)) == [4, 5, 6]
    assert all(70 < drawn.count(bits) < 130 for bits in (4, 5, 6))  # evenly: 100 ± 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sweep": "spiral"}, "one of grid, one-at-a-time, random, got 'spiral'"),
        ({"parameters": ()}, "at least one parameter"),
        ({"seeds": (1, 1)}, r"seeds must all differ, got \[1, 1\]"),
        ({"seeds": (-1,)}, "≥ 0, got -1"),
        ({"sweep": "random"}, "a random sweep needs points"),
        ({"points": 3}, "a grid sweep takes no points, got 3"),
        ({"images": 0}, "≥ 1, got 0"),
        ({"parameters": (ADC, ADC)}, "two parameters have the name adc.bits"),
        ({"parameters": (WIRES, Parameter("wires.r_row", (1.0,)))}, "two parameters have the key wires.r_row"),
        ({"parameters": (Parameter("adc.bits", low=4, high=8),)}, "needs steps"),
    ],
)
def test_study__refuses(study, changes, words):
    with pytest.raises(ParameterError, match=words):
        replace(study, **changes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"keys": "bits", "values": (1,)}, "SECTION.KEY of a chip description, model or chip, got 'bits'"),
        ({"keys": "adc.bits"}, "needs either values, or low and high"),
        ({"keys": "adc.bits", "values": (4, 4)}, "values must all differ"),
        ({"keys": "adc.bits", "values": (4,), "low": 1}, "not both"),
        ({"keys": "adc.bits", "low": 8, "high": 4, "steps": 3}, "low must be < high, got 8 and 4"),
        ({"keys": "adc.bits", "low": 0, "high": 4, "scale": "log"}, "low must be > 0 on a log scale"),
        ({"keys": "adc.bits", "values": ("a\nb",)}, "on one line"),
        ({"keys": ("chip", "adc.bits"), "values": ("ideal",)}, "cannot be tied"),
    ],
)
def test_parameter__refuses(arguments, words):
    with pytest.raises(ParameterError, match=words):
        Parameter(**arguments)


def test_file__says_the_same_as_python(tmp_path, study):
    (tmp_path / "s.toml").write_text(
        'model = "small.npz"\nchip = "two_terminal"\nseeds = [0, 3]\nimages = 5\ncalibration = 6\n'
        "settings = { tile.rows = 8, tile.columns = 16 }\n"
        '[[parameter]]\nkey = "adc.bits"\nvalues = [4, 8]\n'
        '[[parameter]]\nname = "wires"\nkeys = ["wires.r_row", "wires.r_column"]\nvalues = [0.0, 1.06, 20.0]\n'
    )
    assert load_study(tmp_path / "s.toml") == replace(study, name="s")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("imges = 3", "unknown key 'imges'; nearest valid: images"),
        ("[[parameter]]\nkey = 'adc.bits'\nvalue = [3]", "unknown key of a parameter 'value'; nearest valid: values"),
        ("[parameter]\nkey = 'adc.bits'", r"must be one or more \[\[parameter\]\] tables"),
        ("[[parameter]]\nvalues = [3]", "needs key = TEXT or keys"),
        ("seeds = 0", "seeds must be ≥ 1, got 0"),
        ("x =", "not valid TOML"),
    ],
)
def test_file__refuses(tmp_path, text, words):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(ParameterError, match=words):
        load_study(tmp_path / "s.toml")


# running


def test_sweep__killed_twice_gives_the_same_table(tmp_path, study):
    """Real kills of a real process, at moments drawn anew in every run, and half a line as a power cut leaves it."""
    study = replace(study, parameters=(Parameter("adc.bits", (3, 5, 7, 9, "ideal")),), seeds=(0, 1, 2, 3))
    whole = sweep(study, tmp_path / "whole")
    assert len(whole.rows) == 20
    assert not whole.failures
    out, table = tmp_path / "out", tmp_path / "out" / "results.csv"
    program = f"from mapping.studies import *; sweep({study!r}, {str(out)!r})"
    kept = []
    for least, most in ((2, 6), (8, 14)):
        wanted = random.randint(least, most)  # noqa: S311
        process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
        while process.poll() is None and (not table.exists() or table.read_bytes().count(b"\n") <= wanted):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert all(line in table.read_bytes().splitlines() for line in kept)  # nothing lost, nothing computed again
        kept = table.read_bytes().rpartition(b"\n")[0].splitlines()
        assert wanted < len(kept) <= 20
    with table.open("ab") as file:
        file.write(kept[-1][:30])
    seen = []
    again = sweep(study, out, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 20) for done in range(len(kept) - 1, 21)]
    assert without_time(again) == without_time(whole)
    final = table.read_bytes().splitlines()
    assert set(kept) < set(final)
    assert len(final) == 21
    assert read_results(table) == again


def test_sweep__begun_again_when_finished_computes_nothing(tmp_path, study):
    first = sweep(study, tmp_path)
    before = (tmp_path / "results.csv").read_bytes()
    assert sweep(study, tmp_path) == first  # wall times as well
    assert (tmp_path / "results.csv").read_bytes() == before
    assert {"summary.csv", "study.png"} < {path.name for path in tmp_path.iterdir()}


def test_workers__do_not_change_a_row(tmp_path, study):
    study = replace(study, parameters=(ADC,))
    one, two = sweep(study, tmp_path / "one"), sweep(study, tmp_path / "two", workers=2)
    assert without_time(one) == without_time(two)


def test_dask__two_worker_processes_give_the_same_rows(tmp_path, study):
    distributed = pytest.importorskip("distributed")
    study = replace(study, parameters=(ADC,))
    one = sweep(study, tmp_path / "one")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        many = sweep(study, tmp_path / "many", dask=cluster.scheduler_address)
    assert without_time(one) == without_time(many)


def test_rows__say_what_the_point_was_and_what_came_out(tmp_path, study):
    results = sweep(replace(study, parameters=(ADC,), sweep="one-at-a-time"), tmp_path)
    base, other = results.rows[0], results.rows[2]
    assert (base["varied"], base["adc.bits"], base["seed"], base["images"]) == (None, 8, 0, 5)
    assert (other["varied"], other["adc.bits"]) == ("adc.bits", 4)
    assert 0.0 < base["own_error_fc"] < other["own_error_fc"]  # fewer bits, more error
    assert base["energy_J_per_image"] > other["energy_J_per_image"] > 0.0
    assert base["energy_low_J_per_image"] <= base["energy_J_per_image"] <= base["energy_high_J_per_image"]
    assert "numpy" in base["versions"]
    assert base["images_per_s"] >= 1.0 / base["latency_s_per_image"]  # images overlap
    assert base["area_m2"] > other["area_m2"] > 0.0  # smaller converters
    found = {effect.parameter: effect for effect in effects(results, "area_m2")}
    assert found["adc.bits"].hurt == 0.0


def test_failure__is_a_row_with_its_sentence(tmp_path, study):
    cells = Parameter("cell.preset", ("two_terminal", "selected_two_terminal"))
    results = sweep(replace(study, parameters=(cells,), seeds=(0,)), tmp_path)
    fine, failed = results.rows
    assert fine["failure"] is None
    assert "conv would be read at dac.v_read = 0.05 V" in failed["failure"]
    assert failed["accuracy_chip"] is None
    assert results.failures == (failed,)


@pytest.mark.parametrize(
    ("changes", "part"),
    [({"seeds": (0, 4)}, "the study file changed"), ({"settings": ("tile.rows=8",)}, "the study file changed"),
     ({"chip": "adaptive2d"}, "the chip descriptions changed"),
     ({"images": 4}, "the study file and the images changed")],
)  # fmt: skip
def test_changed_study__does_not_go_on(tmp_path, study, changes, part):
    study = replace(study, parameters=(ADC,))
    sweep(study, tmp_path)
    before = (tmp_path / "results.csv").read_bytes()
    with pytest.raises(ParameterError, match=rf"belongs to another study: .* {part}; give another --out"):
        sweep(replace(study, **changes), tmp_path)
    assert (tmp_path / "results.csv").read_bytes() == before


def test_table__that_something_else_changed_is_refused(tmp_path, study):
    study = replace(study, parameters=(ADC,))
    sweep(study, tmp_path)
    table = tmp_path / "results.csv"
    lines = table.read_text().splitlines(keepends=True)
    for text, words in (
        ("a,b\n1,2\n", "line 2 has 2 columns of 2"),
        ("".join([*lines, lines[1]]), "holds 1 points twice"),
        ("".join([*lines[:2], "x,y\n"]), "line 3 has 2 columns"),
    ):
        table.write_text(text)
        with pytest.raises(ParameterError, match=words):
            sweep(study, tmp_path)
        assert table.read_text() == text


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_table__has_one_writer(tmp_path, study):
    import fcntl

    with (tmp_path / "results.csv").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ParameterError, match="another sweep is writing"):
            sweep(study, tmp_path)


def test_sweep__refuses_before_it_begins(tmp_path, study):
    for parameter, words in (
        (Parameter("adc.bitz", (4,)), "nearest valid: adc.bits"),
        (Parameter("adc.bits", (4, 99)), r"^parameter 'adc.bits' of study: \[adc\] .*from 2 to 16, got 99"),
        (Parameter("adc.bits", (4, 99), name="converter"), "^parameter 'converter' of study: "),
        (Parameter("adc.bits", (4,), name="seed"), "cannot be called seed"),
    ):
        with pytest.raises(ParameterError, match=words):
            sweep(replace(study, parameters=(parameter,)), tmp_path / "out")
    with pytest.raises(ParameterError, match=r"^settings of study: unknown key 'tile\.row'"):
        sweep(replace(study, settings=("tile.row=8",)), tmp_path / "out")
    low, high = Parameter("cell.g_min", (1e-6, 2e-5)), Parameter("cell.g_max", (1e-5, 5e-5))
    with pytest.raises(ParameterError, match=r"^parameters 'cell.g_min', 'cell.g_max' of study: \[cell\] "):
        sweep(replace(study, chip="adaptive2d", parameters=(low, high)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_parquet__holds_the_same_table(tmp_path, study):
    parquet = pytest.importorskip("pyarrow.parquet")
    results = sweep(replace(study, parameters=(Parameter("adc.bits", (4, "ideal")),)), tmp_path)
    read = parquet.read_table(tmp_path / "results.parquet").to_pydict()
    assert tuple(read) == results.columns
    assert read["accuracy_chip"] == [row["accuracy_chip"] for row in results.rows]
    assert read["adc.bits"] == ["4", "4", "ideal", "ideal"]


# effects


def made(rows, *names):
    """A table of accuracies: rows of (point, seed, varied, values of the parameters, accuracy)."""
    columns = (*HEAD, *names, *METRICS, *TAIL)
    found = []
    for point, seed, varied, values, accuracy in rows:
        row = dict.fromkeys(columns) | dict(zip(names, values, strict=True))
        found.append(row | {"point": point, "seed": seed, "varied": varied, "accuracy_chip": accuracy})
    return Results(columns, tuple(found))


def test_effects__one_at_a_time_are_paired_by_seed():
    """Seeds differ by 20 points and the change by 2: an unpaired interval would hide it."""
    table = made(
        [(0, 0, None, (1, 8), 0.7), (0, 1, None, (1, 8), 0.9),
         (1, 0, "a", (2, 8), 0.59), (1, 1, "a", (2, 8), 0.81),
         (2, 0, "b", (1, 4), 0.71), (2, 1, "b", (1, 4), 0.9)], "a", "b",
    )  # fmt: skip
    a, b = effects(table)
    assert (a.parameter, b.parameter) == ("a", "b")
    assert a.reference == pytest.approx(0.8, rel=1e-12)
    assert a.worst.change == pytest.approx(-0.1, rel=1e-12)
    # standard deviation 0.02 / sqrt 2 of two, over sqrt 2, times Student's 12.7062 of one degree of freedom
    assert a.worst.half_width == pytest.approx(12.706205 * 0.02 / 2, rel=1e-6)
    assert b.hurt == 0.0
    assert b.span == pytest.approx((0.0, 0.005), rel=1e-9)


def test_effects__of_a_grid_are_means_over_everything_else():
    table = made(
        [(2 * a + b, s, None, (a, b), 0.9 - 0.1 * a - 0.02 * b + 0.01 * s)
         for a in (0, 1) for b in (0, 1) for s in (0, 1)], "a", "b",
    )  # fmt: skip
    assert table.balanced
    a, b = effects(table)
    assert [level.change for level in a.levels] == pytest.approx([0.05, -0.05], rel=1e-9)
    assert b.hurt == pytest.approx(0.01, rel=1e-9)
    assert max(level.half_width for level in a.levels) < 1e-12  # the seeds agree on every change


def test_effects__of_a_random_sweep_find_what_matters(rng):
    drawn = rng.random((80, 2))
    table = made([(i, 0, None, (x, y), 0.9 - 0.5 * x) for i, (x, y) in enumerate(drawn.tolist())], "x", "y")
    assert not table.balanced
    x, y = effects(table)
    assert x.parameter == "x"
    assert len(x.levels) == 4
    assert [level.rows for level in x.levels] == [20] * 4
    assert x.worst is x.levels[-1]
    assert x.hurt == pytest.approx(0.5 * 3 / 8, rel=0.25)  # the upper quarter lies 3/8 above the mean
    assert y.hurt < 0.08


def test_effects__of_a_cost_hurt_upwards():
    table = made([(0, 0, None, (1,), 0.0), (1, 0, "a", (2,), 0.0), (2, 0, "a", (3,), 0.0)], "a")
    for row, joules in zip(table.rows, (2.0, 5.0, 1.0), strict=True):
        row["energy_J_per_image"] = joules
    (effect,) = effects(table, "energy_J_per_image")
    assert (effect.worst.label, effect.hurt, effect.worst.half_width) == ("2", 3.0, None)
    with pytest.raises(ParameterError, match="no metric 'energy'; it has images, accuracy_chip"):
        effects(table, "energy")


def test_half_width__is_students():
    assert half_width([1.0]) is None
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


# figures and the command


def test_plots__show_the_table():
    table = made(
        [(0, 0, None, (1, 8), 0.7), (0, 1, None, (1, 8), 0.9), (1, 0, "a", (2, 8), 0.59), (1, 1, "a", (2, 8), 0.81)],
        "a", "b",
    )  # fmt: skip
    ax = plot_tornado(effects(table))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a"]
    assert [patch.get_width() for patch in ax.patches] == pytest.approx([-10.0], rel=1e-9)  # points
    line = plot_response(table, "a").lines[0]
    np.testing.assert_allclose(line.get_xydata(), [[1, 80], [2, 70]], rtol=1e-12)
    assert len(study_figure(table).axes) == 2


def call(monkeypatch, capfd, *words):
    monkeypatch.setattr(sys, "argv", ["crossgate", *map(str, words)])
    status = 0
    try:
        cli.main()
    except SystemExit as stop:
        status = stop.code
    return status, *capfd.readouterr()


def test_terminal__names_the_worst_value_in_80_columns():
    names = ("spread.write_error", "wires.r_row")
    table = made(
        [(0, 0, None, (0.01, 1.0), 0.9), (1, 0, names[0], (0.2, 1.0), 0.8), (2, 0, names[1], (0.01, 30.0), 0.6)], *names
    )
    for row, joules in zip(table.rows, (2e-9, 2e-9, 3e-9), strict=True):
        row |= {"energy_J_per_image": joules, "latency_s_per_image": 1e-6}
    shown = {"accuracy": "accuracy_chip", **sweeping.PRICES}
    console = Console(width=80, file=io.StringIO(), record=True)
    sweeping._show("s", table, {name: effects(table, metric) for name, metric in shown.items()}, console)
    text = console.export_text()
    for words in (*names, "from 90.00%", "-30.00 points", "at 30", "-10.00 points", "at 0.2", "+50.0%", "no harm"):
        assert words in text, words
    assert text.index(names[1]) < text.index(names[0])


def test_command__runs_a_study_and_says_what_hurts(tmp_path, model, monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "s.toml").write_text(
        'model = "small.npz"\nchip = "two_terminal"\nimages = 4\ncalibration = 4\nsweep = "one-at-a-time"\n'
        'settings = { "tile.rows" = 8 }\n[[parameter]]\nname = "converters [bit]"\nkey = "adc.bits"\nvalues = [3, 8]\n'
    )
    status, out, err = call(monkeypatch, capfd, "sweep", tmp_path / "s.toml", "--out", tmp_path / "o")
    assert (status, err) == (0, "")
    for words in ("s: largest harm of each parameter", "converters [bit]", "o/results.csv", "from "):
        assert words in out
    status, out, _ = call(monkeypatch, capfd, "sweep", tmp_path / "s.toml", "--out", tmp_path / "o", "--json")
    assert json.loads(out)["accuracy"][0]["parameter"] == "converters [bit]"
    with (tmp_path / "o" / "results.csv").open() as file:
        assert len(list(csv.reader(file))) == 3
    status, out, err = call(monkeypatch, capfd, "sweep", "no.toml")
    assert (status, err) == (2, "crossgate: there is no study no.toml\n")
    status, out, err = call(monkeypatch, capfd, "sweep", tmp_path / "s.toml", "--workers", "0")
    assert (status, err) == (2, "crossgate: --workers must be a whole number ≥ 1, got '0'\n")


def test_example__of_the_page_is_a_study():
    found = load_study(ROOT / "docs" / "studies" / "wires.toml")
    assert found.sweep == "one-at-a-time"
    assert len(found.all_points()) % len(found.seeds) == 0
    for point in found.all_points():
        found.resolve(point)


# what is distinguishable


def answered(rows, images):
    """A table whose rows say which images are right: (point, seed, varied, values, right (b,))."""
    table = made([(*row[:4], float(np.mean(row[4]))) for row in rows], "a")
    for row, given in zip(table.rows, rows, strict=True):
        row |= {"images": images, "right": answers(np.asarray(given[4], dtype=bool))}
    return table


def test_effects__of_one_seed_have_the_paired_interval_of_the_images():
    """Ten images lost and two gained of 200, by hand as Bonett and Price do; twelve lost and ten gained are chance."""
    base, worse, equal = (np.ones(200, dtype=bool) for _ in range(3))
    base[:12] = False
    worse[2:12], worse[100:110] = False, False
    equal[10:12], equal[100:112] = False, False
    table = answered([(0, 0, None, (0,), base), (1, 0, "a", (1,), worse), (2, 0, "a", (2,), equal)], 200)
    (effect,) = effects(table)
    lost, chance = effect.levels
    mean, square = -8 / 202, 14 / 202
    assert lost.change == pytest.approx(-8 / 200, rel=1e-12)
    assert lost.half_width == pytest.approx(1.959964 * math.sqrt((square - mean**2) / 202), rel=1e-6)
    assert (lost.distinct, chance.distinct) == (False, False)  # p = 0.039 would pass alone, not as one of two levels
    assert not effect.ranks
    alone = answered([(0, 0, None, (0,), base), (1, 0, "a", (1,), worse)], 200)
    assert effects(alone)[0].ranks


def test_effects__without_answers_have_the_binomial_interval():
    table = made([(0, 0, None, (1,), 0.9), (1, 0, "a", (2,), 0.8)], "a")
    for row in table.rows:
        row["images"] = 100
    (effect,) = effects(table)
    assert effect.worst.half_width == pytest.approx(1.959964 * math.sqrt((0.09 + 0.16) / 100), rel=1e-6)
    assert effect.worst.distinct


def test_effects__of_pure_chance_are_hardly_ever_ranked(rng):
    ranked = 0
    for _ in range(100):
        rows = [(level, seed, None if level == 0 else "a", (level,), rng.random(100) < 0.9)
                for level in range(5) for seed in range(3)]  # fmt: skip
        ranked += effects(answered(rows, 100))[0].ranks
    assert ranked <= 5


def test_answers__are_read_as_written(rng):
    right = rng.random(13) < 0.5
    row = {"images": 13, "right": answers(right)}
    np.testing.assert_array_equal(correct(row), right)
    assert parsed(row["right"]) == row["right"]  # a text, whatever its digits
    assert correct({"images": 13, "right": None}) is None


def test_regress__finds_the_coefficients_of_a_line(rng):
    """Two parameters that matter, one of them by its logarithm, one that does not, and a text."""
    n = 400
    x, y, z = 1.0 + rng.random(n), 10 ** rng.uniform(-2, 2, n), 1.0 + rng.random(n)
    word = rng.choice(["p", "q"], n)
    accuracy = 0.5 + 0.2 * x - 0.03 * np.log(y) + 0.1 * (word == "q") + 0.01 * rng.normal(size=n)
    rows = [(i, 0, None, (float(a), float(b), float(c), str(w)), float(m))
            for i, (a, b, c, w, m) in enumerate(zip(x, y, z, word, accuracy, strict=True))]  # fmt: skip
    found = regress(made(rows, "x", "y", "z", "word"))
    spread = accuracy.std(ddof=1)
    by_name = {each.parameter: each for each in found.coefficients}
    text = next(name for name in by_name if name.startswith("word = "))
    wanted = {"x": 0.2 * x.std(ddof=1), "y": -0.03 * np.log(y).std(ddof=1),
              text: (0.1 if text.endswith("q") else -0.1) * (word == "q").std(ddof=1)}  # fmt: skip
    for name, change in wanted.items():
        each = by_name[name]
        assert each.distinct
        assert each.low <= change / spread <= each.high or abs(each.change / change - 1) < 0.05
    assert by_name["y"].logarithmic
    assert not by_name["z"].distinct
    assert found.coefficients[-1].parameter == "z"  # what is not distinguishable has no rank
    assert found.explained > 0.9


def test_regress__refuses_what_it_cannot_tell():
    assert regress(made([(i, 0, None, (i, 2 * i), 0.1 * i) for i in range(8)], "a", "b")) is None  # one is the other
    assert regress(made([(i, 0, None, (i, i * i), 0.1 * i) for i in range(3)], "a", "b")) is None  # too few settings
