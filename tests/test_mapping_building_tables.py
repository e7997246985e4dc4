"""From a chip to the bench and back: the tables hold the chip, come back bit for bit, and wrong ones are refused."""

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices import AdaptiveMemristor
from devices.errors import ParameterError
from devices.writing import WriteVerify, pulse_schedules
from mapping import Network, compile_network, export_chip, load_hardware, read_measured, run, write
from mapping.building.tables import Column, csv_writer, read_table
from mapping.networks import Conv, GlobalAveragePool
from tests.small_networks import joined

SMALL = ("tile.rows=16", "tile.columns=8", "tile.gate_nodes=4")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).random((40, 2, 6, 5))


@pytest.fixture(scope="module")
def program(images):
    hardware = load_hardware("adaptive2d").with_values((*SMALL, "spread.stuck_on=0.05"))
    return compile_network(joined(np.random.default_rng(7)), hardware, images)


@pytest.fixture(scope="module")
def chip(program):
    return write(program, seed=5)


@pytest.fixture(scope="module")
def exported(chip, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "chip"
    export_chip(chip, path)
    return path


@pytest.fixture
def folder(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "chip"))


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def rewrite(path: Path, change) -> None:
    """Write a table again after a change of its rows."""
    rows = change(rows_of(path))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# the table holds the chip


def test_programming_table__holds_every_cell_of_the_chip(chip, folder):
    rows = rows_of(folder / "programming.csv")
    assert len(rows) == sum(
        matrix.kernels * 2 * math.prod(tile.shape) for matrix in chip.program.all_matrices for tile in matrix.tiles
    )
    hardware, stuck = chip.program.hardware, 0
    for row in rows[::37]:
        matrix = next(each for each in chip.program.all_matrices if each.name == row["matrix"])
        written = chip.written(matrix, int(row["tile"]))
        at = int(row["kernel"]), int(row["row"]), int(row["column"])
        assert float(row["written_filament_S"]) == written.g_filament[at]
        assert float(row["gate_offset_V"]) == written.gate_offset[at]
        assert row["sign"] == "+-"[at[2] % 2]
        gain = hardware.cell.gain_with_offset(hardware.cell.v_gate_max, written.gate_offset[at])
        terminal = hardware.cell.terminal_conductance(written.g_filament[at], gain, hardware.dac.v_read)
        assert float(row["written_terminal_S"]) == pytest.approx(float(terminal), rel=1e-12)
        target = float(row["target_filament_S"])
        assert hardware.cell.g_min <= target <= hardware.cell.g_max
        if not row["stuck"]:  # a verified write is within five deviations of its target, inside the cell's own window
            assert float(row["written_filament_S"]) == pytest.approx(target, abs=5 * 0.01 * hardware.cell.g_max + 3e-6)
        stuck += bool(row["stuck"])
    assert stuck
    assert {row["stuck"] for row in rows} == {"", "on", "off"}


def test_programming_table__a_compiled_chip_has_targets_and_no_result(program, tmp_path):
    export_chip(program, tmp_path / "c")
    rows = rows_of(tmp_path / "c" / "programming.csv")
    assert {(row["written_filament_S"], row["written_terminal_S"], row["stuck"]) for row in rows} == {("", "", "")}
    wanted = np.concatenate(
        [
            matrix.conductances[:, tile.rows, 2 * tile.columns.start : 2 * tile.columns.stop].reshape(-1)
            for matrix in program.all_matrices
            for tile in matrix.tiles
        ]
    )
    np.testing.assert_allclose([float(row["target_terminal_S"]) for row in rows], wanted, rtol=1e-9)
    assert rows_of(tmp_path / "c" / "outputs.csv") == []
    found = read_measured(program, tmp_path / "c")  # nothing is measured: every cell takes its target
    assert found.missing == found.cells == len(rows)
    np.testing.assert_array_equal(
        np.concatenate([each.g_filament.reshape(-1) for held in found.tiles.values() for each in held]),
        [float(row["target_filament_S"]) for row in rows],
    )


def test_tolerance__is_that_of_the_filament_seen_between_the_terminals(program, folder):
    hardware = program.hardware
    for row in rows_of(folder / "programming.csv")[::101]:
        target, tolerance = float(row["target_filament_S"]), WriteVerify.amplitude().tolerance * hardware.cell.g_max
        shown = hardware.cell.terminal_conductance(
            np.array([target, target + tolerance]), hardware.cell.gain_high, hardware.dac.v_read
        )
        assert float(row["tolerance_S"]) == pytest.approx(shown[1] - shown[0], rel=1e-9)


# pulses


def test_pulse_schedules__write_the_nominal_cell_within_the_tolerance():
    cell, scheme = AdaptiveMemristor(), WriteVerify.amplitude()
    targets = np.linspace(cell.g_min, cell.g_max, 9)
    found = pulse_schedules(cell, targets, scheme)
    assert np.all(np.abs(found.final - targets) <= scheme.tolerance * cell.g_max)
    assert found.count[0] == 0
    assert np.all(found.count[1:] > 0)
    assert len(found.amplitude) == len(found.width) == len(found.v_gate) == found.count.sum()
    first = np.cumsum(found.count) - found.count
    np.testing.assert_array_equal(found.amplitude[first[1:]], scheme.v_set)  # each begins at the lowest rung of SET


def test_pulse_tables__say_which_pulses_a_cell_needs(program, folder):
    pulses, schedules = rows_of(folder / "pulses.csv"), rows_of(folder / "schedules.csv")
    tolerance = WriteVerify.amplitude().tolerance * program.hardware.cell.g_max
    by_schedule = {}
    for pulse in pulses:
        by_schedule.setdefault(pulse["schedule"], []).append(pulse)
    for row in rows_of(folder / "programming.csv")[::53]:
        schedule = schedules[int(row["schedule"])]
        assert float(schedule["target_filament_S"]) == pytest.approx(float(row["target_filament_S"]), abs=tolerance / 3)
        mine = by_schedule.get(row["schedule"], [])
        assert len(mine) == int(row["pulses"]) == int(schedule["pulses"])
        assert [int(pulse["pulse"]) for pulse in mine] == list(range(len(mine)))
        assert all((pulse["polarity"] == "SET") == (float(pulse["amplitude_V"]) > 0.0) for pulse in mine)
    ladder = [row for row in rows_of(folder / "ladder.csv") if row["polarity"] == "SET"]
    assert float(ladder[0]["amplitude_V"]) == WriteVerify.amplitude().v_set
    assert float(ladder[-1]["amplitude_V"]) == WriteVerify.amplitude().v_most
    assert float(ladder[3]["amplitude_V"]) == pytest.approx(0.53)


def test_pulse_tables__cells_without_a_state_equation_have_none(images, tmp_path):
    hardware = load_hardware("isaac_like").with_values(("tile.rows=16", "tile.columns=8"))
    found = joined(np.random.default_rng(7)).layers
    layers = (found[0], replace(found[5], inputs=("conv",)), found[6])
    static = Network("static", (2, 6, 5), tuple("abc"), layers)
    export_chip(compile_network(static, hardware, images), tmp_path / "i")
    assert {row["schedule"] for row in rows_of(tmp_path / "i" / "programming.csv")} == {"-1"}
    names = {path.name for path in (tmp_path / "i").iterdir()}
    assert not names & {"pulses.csv", "ladder.csv", "schedules.csv"}
    assert json.loads((tmp_path / "i" / "chip.json").read_text())["scheme"] is None
    assert rows_of(tmp_path / "i" / "gate_lines.csv") == []


# the other tables


def test_plan_tables__agree_with_the_program(chip, folder):
    program = chip.program
    arrays = rows_of(folder / "arrays.csv")
    assert len({row["array"] for row in arrays}) == sum(program.tiles(layer.name) for layer in program.folded.layers)
    shape = program.hardware.tile
    for row in arrays:  # rows in use are next to the sense ends
        assert int(row["first_row"]) + int(row["rows"]) == shape.rows
        assert int(row["columns"]) <= shape.columns
    lines = rows_of(folder / "gate_lines.csv")
    mixing = [row for row in lines if row["use"] == "mixes"]
    assert {row["kernel"] for row in mixing} == {"0", "1", "2"}
    assert {row["matrix"] for row in mixing} == {"mixed"}
    codes = rows_of(folder / "gate_codes.csv")
    assert len(codes) == 2**program.hardware.gate_dac.bits
    cell = program.hardware.cell
    attention = np.array([float(row["attention"]) for row in codes])
    np.testing.assert_allclose(
        program.hardware.gate_dac.gains(attention, cell), [float(row["gain"]) for row in codes], rtol=1e-9
    )
    assert (float(codes[0]["gate_V"]), float(codes[-1]["gate_V"])) == (cell.v_gate_min, cell.v_gate_max)
    assert float(codes[-1]["attention"]) == 1.0


def test_converter_table__gives_the_outputs_of_the_chip(chip, folder):
    rows = [row for row in rows_of(folder / "converters.csv") if row["matrix"] == "fc"]
    tile, matrix = chip.tiles["fc"][0], chip.program.matrices["fc"][0]
    np.testing.assert_array_equal([float(row["offset_codes"]) for row in rows], tile.offsets)
    assert {float(row["full_scale_A"]) for row in rows} == {tile.full_scale}
    np.testing.assert_array_equal([float(row["scale_per_A"]) for row in rows], matrix.scale)
    every = rows_of(folder / "converters.csv")
    shared = max(sum(row["converter"] == each["converter"] for row in every) for each in every)
    assert shared <= chip.program.hardware.adc.columns
    adjusted = {(row["name"], int(row["output"])): float(row["scale"]) for row in rows_of(folder / "outputs.csv")}
    assert adjusted["fc", 1] == chip.adjustments["fc"][0][1]


def test_netlists__are_those_of_the_cells(chip, program, tmp_path):
    export_chip(chip, tmp_path / "w", netlists=[("mixed", 1, 2)])
    export_chip(program, tmp_path / "c", netlists=[("fc", 0, 0)])
    assert "Rdrv_0" in (tmp_path / "w" / "mixed-1-2.cir").read_text()
    text = (tmp_path / "c" / "fc-0-0.cir").read_text()
    row = next(row for row in rows_of(tmp_path / "c" / "programming.csv") if row["matrix"] == "fc")
    assert repr(1.0 / float(row["target_filament_S"]))[:8] in text or "Bcell_0_0" in text


# and back


def test_round_trip__gives_the_same_bits(chip, folder, images):
    found = read_measured(chip.program, folder)
    assert (found.missing, found.stuck > 0) == (0, True)
    again = write(chip.program, seed=5, measured=found)
    before, after = run(chip, images[:8], seed=2), run(again, images[:8], seed=2)
    np.testing.assert_array_equal(after.logits, before.logits)
    np.testing.assert_array_equal(again.adjustments["fc"], chip.adjustments["fc"])
    export_chip(again, folder.parent / "again")
    kept = ("written_filament_S", "written_terminal_S", "gate_offset_V")
    assert [[row[name] for name in kept] for row in rows_of(folder.parent / "again" / "programming.csv")] == [
        [row[name] for name in kept] for row in rows_of(folder / "programming.csv")
    ]


@pytest.mark.parametrize("layout", ["stacked", "digital", "reprogram"])
def test_round_trip__of_every_layout(layout, images, tmp_path):
    hardware = load_hardware("adaptive2d").with_values((*SMALL, f"mapping.layout={layout}"))
    program = compile_network(joined(np.random.default_rng(7)), hardware, images)
    chip = write(program, seed=1)
    export_chip(chip, tmp_path / "c")
    again = write(program, seed=1, measured=read_measured(program, tmp_path / "c"))
    np.testing.assert_array_equal(run(again, images[:3]).logits, run(chip, images[:3]).logits)
    schema = json.loads((tmp_path / "c" / "chip.json").read_text())
    assert schema["rewritten"] == (["mixed"] if layout == "reprogram" else [])
    arrays = [row for row in rows_of(tmp_path / "c" / "arrays.csv") if row["layer"] == "mixed"]
    assert len({row["array"] for row in arrays}) == program.tiles("mixed")
    for row in arrays:
        assert 0 <= int(row["first_row"]) <= int(row["first_row"]) + int(row["rows"]) <= 16
    if layout == "stacked":
        bands = {int(row["first_row"]) for row in arrays if (row["matrix"], row["tile"]) == ("mixed", "0")}
        assert len(bands) == 3


def test_round_trip__measured_cells_do_not_age_again(images, tmp_path):
    hardware = load_hardware("adaptive2d").with_values((*SMALL, "retention.age=3e6", "retention.adjusted=aged"))
    program = compile_network(joined(np.random.default_rng(7)), hardware, images)
    chip = write(program, seed=1)
    export_chip(chip, tmp_path / "c")
    again = write(program, seed=1, measured=read_measured(program, tmp_path / "c"))
    np.testing.assert_array_equal(run(again, images[:3]).logits, run(chip, images[:3]).logits)
    fresh = compile_network(program.network, load_hardware("adaptive2d").with_values(SMALL), images)
    young = write(fresh, seed=1, measured=read_measured(fresh, tmp_path / "c"))  # the age is no part of the program
    np.testing.assert_array_equal(young.written(fresh.matrices["fc"][0], 0).g_filament,
                                  chip.written(program.matrices["fc"][0], 0).g_filament)  # fmt: skip


def test_round_trip__of_cells_that_simulated_pulses_wrote(tmp_path):
    layers = (Conv("conv", ("input",), np.random.default_rng(1).normal(size=(2, 1, 2, 2))),)
    layers += (GlobalAveragePool("pool", ("conv",)),)
    pictures = np.random.default_rng(2).random((40, 1, 4, 4))
    hardware = load_hardware("two_terminal").with_values((*SMALL, "tile.write=simulated"))
    program = compile_network(Network("tiny", (1, 4, 4), ("a", "b"), layers), hardware, pictures)
    chip = write(program, seed=1)
    export_chip(chip, tmp_path / "c")
    rows = rows_of(tmp_path / "c" / "programming.csv")
    np.testing.assert_array_equal([float(row["written_filament_S"]) for row in rows],
                                  chip.simulated["conv"][0].g_filament.reshape(-1))  # fmt: skip
    assert json.loads((tmp_path / "c" / "chip.json").read_text())["scheme"] == "array"
    assert float(rows_of(tmp_path / "c" / "ladder.csv")[0]["amplitude_V"]) == 0.4
    again = write(program, seed=1, measured=read_measured(program, tmp_path / "c"))
    np.testing.assert_array_equal(run(again, pictures[:3]).logits, run(chip, pictures[:3]).logits)
    drawn = compile_network(program.network, load_hardware("two_terminal").with_values(SMALL), pictures)
    assert read_measured(drawn, tmp_path / "c").missing == 0  # the way of writing is no part of the program


@pytest.mark.parametrize("encoding", ["differential", "offset"])
def test_round_trip__of_slices_and_references(encoding, images, tmp_path):
    coded = (f"tile.encoding={encoding}", "tile.levels=4", "tile.slices=2", "mapping.layout=digital", "tile.columns=16")
    hardware = load_hardware("adaptive2d").with_values((*SMALL, *coded))
    program = compile_network(joined(np.random.default_rng(7)), hardware, images)
    chip = write(program, seed=1)
    export_chip(chip, tmp_path / "c")
    again = write(program, seed=1, measured=read_measured(program, tmp_path / "c"))
    np.testing.assert_array_equal(run(again, images[:3]).logits, run(chip, images[:3]).logits)
    rows = [row for row in rows_of(tmp_path / "c" / "converters.csv") if (row["matrix"], row["tile"]) == ("fc", "0")]
    tile = program.matrices["fc"][0].tiles[0]
    assert len(rows) == tile.converted
    mine = [row for row in rows if row["output"] == rows[0]["output"]]
    assert sum(float(row["worth"]) for row in mine) == pytest.approx(1.0)
    assert {row["slice"] for row in mine} == {"0", "1"}
    signs = {row["sign"] for row in rows_of(tmp_path / "c" / "programming.csv")}
    assert signs == ({"+", "-"} if encoding == "differential" else {"+", "reference"})
    assert any(row["output"] == "-1" for row in rows) == (encoding == "offset")


def test_round_trip__parquet_gives_the_same_bits(chip, tmp_path, folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    export_chip(chip, tmp_path / "p", table="parquet")
    schema = parquet.read_schema(tmp_path / "p" / "programming.parquet")
    assert json.loads(schema.metadata[b"crossgate"])["program"] == json.loads(
        (folder / "chip.json").read_text()
    )["program"]  # fmt: skip
    assert schema.field("tolerance_S").metadata == {b"unit": b"S"}
    one, other = (read_measured(chip.program, each) for each in (folder, tmp_path / "p"))
    assert (one.missing, one.stuck) == (other.missing, other.stuck)
    for name, tiles in one.tiles.items():
        for mine, yours in zip(tiles, other.tiles[name], strict=True):
            np.testing.assert_array_equal(mine.g_filament, yours.g_filament)
            np.testing.assert_array_equal(mine.gate_offset, yours.gate_offset)


def test_read_measured__rows_and_columns_in_any_order(chip, folder):
    before = read_measured(chip.program, folder)
    mixed = np.random.default_rng(1)

    def shuffle(rows):
        names = list(mixed.permutation(list(rows[0])))
        return [{name: rows[at][name] for name in names} for at in mixed.permutation(len(rows))]

    rewrite(folder / "programming.csv", shuffle)
    text = (folder / "programming.csv").read_text()
    (folder / "programming.csv").write_text("\ufeff" + text.replace(",", ";"))  # as a spreadsheet saves it
    after = read_measured(chip.program, folder / "programming.csv")
    for name, tiles in before.tiles.items():
        for mine, yours in zip(tiles, after.tiles[name], strict=True):
            np.testing.assert_array_equal(mine.g_filament, yours.g_filament)


def test_read_measured__terminal_conductances_give_the_filaments(chip, folder):
    before = read_measured(chip.program, folder)
    for offsets in (True, False):
        drop = ("written_filament_S",) if offsets else ("written_filament_S", "gate_offset_V")
        rewrite(
            folder / "programming.csv",
            lambda rows, drop=drop: [{name: row[name] for name in row if name not in drop} for row in rows],
        )
        after = read_measured(chip.program, folder)
        cell, v_read = chip.program.hardware.cell, chip.program.hardware.dac.v_read
        for name, tiles in before.tiles.items():
            for mine, yours in zip(tiles, after.tiles[name], strict=True):
                if offsets:
                    np.testing.assert_allclose(yours.g_filament, mine.g_filament, rtol=1e-9)
                else:  # without the shifts the open cell still has the conductance that was measured
                    gain = cell.gain_with_offset(cell.v_gate_max, mine.gate_offset)
                    np.testing.assert_allclose(
                        cell.terminal_conductance(yours.g_filament, cell.gain_high, v_read),
                        cell.terminal_conductance(mine.g_filament, gain, v_read),
                        rtol=1e-9,
                    )
                    assert not yours.gate_offset.any()


def test_read_measured__missing_cells_take_target_or_end_of_the_window(chip, folder):
    cell = chip.program.hardware.cell
    chosen = {1: "nan", 4: "", 9: "NA"}
    states = {1: "", 4: "on", 9: "off"}

    def empty(rows):
        for at, text in chosen.items():
            rows[at] |= {"written_filament_S": text, "written_terminal_S": text, "stuck": states[at]}
        return rows

    rewrite(folder / "programming.csv", empty)
    target = float(rows_of(folder / "programming.csv")[1]["target_filament_S"])
    for missing, wanted in (("target", target), ("low", cell.g_min)):
        found = read_measured(chip.program, folder, missing=missing)
        assert found.missing == 3
        flat = found.tiles["conv"][0].g_filament.reshape(-1)
        np.testing.assert_array_equal(flat[[1, 4, 9]], [wanted, cell.g_max, cell.g_min])
    assert "3 missing" in str(found)


def change(at, **values):
    def apply(rows):
        rows[at] |= values
        return rows

    return apply


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (change(3, written_filament_S="-1", written_terminal_S=""), r"_filament_S must be from 0 to 1 S, got -1 for"),
        (change(3, written_terminal_S="20", written_filament_S=""), r"must be from 0 to 1 S, got 20 for 'conv' tile 0"),
        (change(3, written_terminal_S="0.9", written_filament_S=""), r"must be below .* series resistance"),
        (change(3, written_terminal_S="inf", written_filament_S=""), r"got inf"),
        (change(3, written_terminal_S="2,5e-6"), r"row 4: written_terminal_S must be a number with a decimal point"),
        (change(3, written_terminal_S="2.5e-6"), r"of 1 cells disagree, first 'conv' tile 0, .* column 3"),
        (change(3, stuck="maybe"), r"row 4: stuck must be one of '', 'on', 'off', got 'maybe'"),
        (change(3, matrix="cnov"), r"row 4: matrix must be one of 'conv'"),
        (change(3, tile="99"), r"row 4 is an unknown cell: matrix 'conv', tile 99"),
        (change(3, column="-1"), r"row 4 is an unknown cell"),
        (change(3, row="1.5"), r"row 4: row must be a whole number, got '1.5'"),
        (change(3, gate_offset_V="1e4", written_terminal_S=""), r"gate_offset_V must be from -100 to 100 V"),
        (change(3, column="2"), r"1 stand in more than one row, first 'conv' tile 0, kernel 0, row 0, column 2"),
        (lambda rows: rows[:5] + rows[6:], r"1 are missing as rows, first 'conv' tile 0"),
        (lambda rows: [{k: v for k, v in row.items() if k != "kernel"} for row in rows], r"must have a column kernel"),
        (
            lambda rows: [{k: v for k, v in row.items() if not k.startswith("written")} for row in rows],
            r"must have a column written_filament_S or written_terminal_S, got neither",
        ),
    ],
)  # fmt: skip
def test_read_measured__refuses_in_one_sentence(chip, folder, damage, sentence):
    rewrite(folder / "programming.csv", damage)
    with pytest.raises(ParameterError, match=sentence) as caught:
        read_measured(chip.program, folder)
    assert "\n" not in str(caught.value)


def test_read_measured__refuses_another_program_and_a_lost_schema(chip, folder, images):
    other = compile_network(
        joined(np.random.default_rng(8)), chip.program.hardware, images
    )  # the same shapes, other numbers
    with pytest.raises(ParameterError, match="belongs to another program"):
        read_measured(other, folder)
    hotter = chip.program.hardware.with_values(("cell.temperature=350",))
    with pytest.raises(ParameterError, match="belongs to another program"):
        read_measured(compile_network(chip.program.network, hotter, images), folder)
    quiet = chip.program.hardware.with_values(("noise.flicker=false", "adc.bits=6", "spread.write_error=0.05"))
    read_measured(compile_network(chip.program.network, quiet, images), folder)
    with pytest.raises(ParameterError, match="missing must be one of target, low"):
        read_measured(chip.program, folder, missing="mean")
    text = (folder / "chip.json").read_text()
    for content, sentence in (
        (text.replace('"version": 1', '"version": 2'), "version 2 of the format"),
        ("[]", "is not the schema"),
        ("{", "cannot be read"),
        (None, "there is no chip.json beside"),
    ):
        (folder / "chip.json").unlink()
        if content is not None:
            (folder / "chip.json").write_text(content)
        with pytest.raises(ParameterError, match=sentence):
            read_measured(chip.program, folder)
        (folder / "chip.json").touch()
    with pytest.raises(ParameterError, match="must hold one of"):
        read_measured(chip.program, folder.parent)


def test_export__appears_whole_or_not_at_all_and_loses_nothing(chip, folder, tmp_path, monkeypatch):
    with pytest.raises(ParameterError, match="must be a new or an empty folder"):
        export_chip(chip, folder)
    with pytest.raises(ParameterError, match="kernel must be"):
        export_chip(chip, tmp_path / "n", netlists=[("fc", 0, 7)])
    with pytest.raises(ParameterError, match="scheme must be one of"):
        export_chip(chip, tmp_path / "n", scheme="loud")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mapping.building.exporting.write_netlist", fail)
    with pytest.raises(ParameterError, match="No space left"):
        export_chip(chip, tmp_path / "n", netlists=[("fc", 0, 0)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chip"]


def test_tables__keep_every_bit_and_any_name(tmp_path):
    columns = (Column("name", "text", "", ""), Column("n", "whole", "", ""), Column("x", "number", "S", ""))
    names = ['a,"b"', "plain", "two\nlines", "é;"]
    x = np.array([np.pi, 5e-324, np.nan, 1.7976931348623157e308])
    csv_writer(columns, [{"name": names, "n": np.arange(4), "x": x}, {"name": "plain", "n": np.arange(2), "x": 0.1}])(
        tmp_path / "t.csv"
    )
    codes = {"name": {name: at for at, name in enumerate(names)}}
    found = read_table(tmp_path / "t.csv", columns, (), codes)
    np.testing.assert_array_equal(found["name"], [0, 1, 2, 3, 1, 1])
    np.testing.assert_array_equal(found["n"], [0, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(found["x"], [*x, 0.1, 0.1])
    (tmp_path / "bad.csv").write_text("name,n,x\nplain,1\n")
    with pytest.raises(ParameterError, match="row 1 must have 3 values, got 2"):
        read_table(tmp_path / "bad.csv", columns, (), codes)


def test_tables__damaged_parquet_is_one_sentence(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(ParameterError, match="not sound Parquet"):
        read_table(tmp_path / "bad.parquet", (Column("n", "whole", "", ""),), (), {})


# the commands


def test_commands__export_measure_and_run(crossgate, model):
    quick = ("--chip", "two_terminal", "--set", "tile.rows=32", "--set", "tile.columns=32", "--seed", 3)
    status, out, err = crossgate("export-chip", model, *quick, "--out", "c", "--netlist", "fc:0")
    assert (status, err) == (0, "")
    assert "written: c/chip.json, programming.csv" in out
    assert "fc-0-0.cir" in out
    assert "<svg" in Path("c/floor_plan.html").read_text()
    assert crossgate("run", model, *quick, "--images", 12, "--out", "a")[0] == 0
    status, out, err = crossgate("run", model, *quick, "--images", 12, "--out", "b", "--measured", "c")
    assert status == 0
    cells = len(rows_of(Path("c/programming.csv")))
    assert f"{cells} cells measured in c/programming.csv, 0 missing" in err
    assert Path("a/predictions.csv").read_bytes() == Path("b/predictions.csv").read_bytes()
    one, other = (json.loads(Path(f"{name}/report.json").read_text()) for name in "ab")
    assert one["layers"] == other["layers"]
    assert (one["measured"], other["measured"]) == (None, err.strip())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("run", "--measured", "nowhere.csv"), "there is no chip.json beside nowhere.csv"),
        (("run", "--measured", "nowhere"), "must be a folder of export-chip, a .csv or a .parquet file, got nowhere"),
        (("run", "--measured", "c", "--fidelity", "ideal"), "--measured must be left out for --fidelity ideal"),
        (("export-chip", "--netlist", "fc"), "--netlist must be MATRIX:TILE or MATRIX:TILE:KERNEL, got 'fc'"),
        (("export-chip", "--table", "xls"), "table must be one of csv, parquet, got 'xls'"),
        (("export-chip", "--seed", "x"), "--seed must be a whole number"),
        (("export-chip", "--out", "/dev/null/x"), "cannot write to /dev/null/x"),
    ],
)
def test_commands__refuse_in_one_sentence(crossgate, model, words, sentence):
    status, out, err = crossgate(
        words[0], model, *words[1:], "--chip", "two_terminal", "--set", "tile.rows=32", "--set", "tile.columns=32"
    )
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
