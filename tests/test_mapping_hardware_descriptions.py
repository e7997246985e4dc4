"""Chip descriptions: files and settings give one checked value; wrong keys and values are refused by name."""

import dataclasses
import math
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from crossbar import Adc, Dac, GateDac, Sense, Wires
from crossbar.prices.component_model import Band, Component, Part
from crossbar.prices.costs import Costs
from devices.cells.adaptive import AdaptiveMemristor
from devices.cells.ohmic import Resistor
from devices.cells.presets import PRESETS
from devices.errors import MappingError, ParameterError
from devices.noise.read_noise import ReadNoise
from devices.writing.spread import Spread
from mapping.hardware.description import Choices, Hardware, TileShape
from mapping.hardware.description_files import CHIPS, hardware_names, load_hardware
from mapping.hardware.retention import Retention
from mapping.hardware.settings import IDEAL

SECTIONS = (
    "cell",
    "spread",
    "noise",
    "retention",
    "wires",
    "tile",
    "dac",
    "adc",
    "gate_dac",
    "sense",
    "mapping",
    "costs",
)
KEYS = [f"{section}.{each.name}" for section in SECTIONS
        for each in dataclasses.fields(getattr(Hardware(), section)) if each.init]  # fmt: skip


def toml(value):
    """A value as a chip file writes it."""
    if value is None:
        return '"ideal"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Part):
        component = dataclasses.asdict(value.component) | {"energy": list(dataclasses.astuple(value.component.energy))}
        return toml({**component, **{key: held for key, held in vars(value).items() if key != "component"}})
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(held)}" for key, held in value.items() if key != "name") + "}"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def dumped(hardware):
    """Every key of a description as TOML."""
    lines = [f"name = {toml(hardware.name)}", f"about = {toml(hardware.about)}"]
    for section in SECTIONS:
        part = getattr(hardware, section)
        lines.append(f"[{section}]")
        if isinstance(part, Resistor):
            lines.append('preset = "resistor"')
        held = {each.name: getattr(part, each.name) for each in dataclasses.fields(part) if each.init}
        if section == "noise" and held["table"] is None:
            held["table"] = "none"
        lines += [f"{key} = {toml(value)}" for key, value in held.items()]
    return "\n".join(lines)


@pytest.fixture
def chip_file(tmp_path):
    """Write a chip file and return its path."""

    def write(text, name="mine.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


# bundled descriptions


def test_names__are_the_files():
    assert hardware_names() == (
        "adaptive2d", "ideal", "isaac_like", "neurram_like", "two_terminal", "volatile2d"
    )  # fmt: skip


@pytest.mark.parametrize("name", hardware_names())
def test_bundled__load_by_name_and_by_path(name):
    hardware = load_hardware(name)
    assert hardware.name == name
    assert hardware.about
    assert "\n" not in hardware.about
    assert load_hardware(CHIPS / f"{name}.toml") == load_hardware(str(CHIPS / f"{name}.toml")) == hardware
    assert load_hardware(name) == hardware


def test_bundled__default_file_says_what_the_defaults_say():
    assert dataclasses.replace(load_hardware("adaptive2d"), about="") == Hardware()


def test_bundled__ideal_deviates_in_nothing():
    ideal = load_hardware("ideal")
    assert ideal.spread == Spread.none()
    assert (ideal.noise.thermal_shot, ideal.noise.flicker) == (False, False)
    assert ideal.wires == Wires(0.0, 0.0, 0.0, 0.0)
    assert ideal.dac.bits is ideal.adc.bits is ideal.gate_dac.bits is None
    assert ideal.adc.offset == 0.0
    g = np.array([ideal.cell.g_min, 7e-6, ideal.cell.g_max])
    np.testing.assert_allclose(ideal.cell.terminal_conductance(g, 0.3, 0.1), 0.3 * g, rtol=1e-15)


def test_bundled__two_terminal_is_the_same_chip_without_a_gate():
    gated, bare = load_hardware("adaptive2d"), load_hardware("two_terminal")
    assert gated.cell.gated
    assert not bare.cell.gated
    assert (bare.spread.gate_offset_line, bare.spread.gate_offset_cell) == (0.0, 0.0)
    for section in ("noise", "retention", "wires", "tile", "dac", "adc", "gate_dac", "sense", "costs"):
        assert getattr(bare, section) == getattr(gated, section)


def test_bundled__default_is_read_half_as_hard_as_its_cell_could_be():
    """The operating point that docs/design.md argues for; the cell by itself has a window of gates up to 4 V."""
    default = Hardware()
    assert (default.dac.v_read, default.cell.v_gate_max, default.sense.division) == (0.05, 2.0, 16.0)
    assert default.retention == Retention(refresh_change=0.002)
    assert default.cell == dataclasses.replace(PRESETS["adaptive_2d"](), v_gate_max=2.0)
    assert load_hardware("volatile2d").cell.v_gate_max == 2.0
    assert load_hardware("ideal").retention == Retention()


@pytest.mark.parametrize(("name", "v_read"), [("isaac_like", 0.2), ("neurram_like", 0.5), ("ideal", 0.1)])
def test_bundled__other_chips_keep_their_read_voltage(name, v_read):
    assert load_hardware(name).dac.v_read == v_read


# every key


@pytest.mark.parametrize("name", hardware_names())
def test_load__of_all_keys_written_out_is_the_same_chip(name, chip_file):
    hardware = load_hardware(name)
    assert load_hardware(chip_file(dumped(hardware))) == hardware


def test_load__of_a_resistor_written_out_is_the_same_chip(chip_file):
    hardware = dataclasses.replace(Hardware(), name="r", cell=Resistor(1e-6, 2e-5))
    assert load_hardware(chip_file(dumped(hardware))) == hardware


@pytest.mark.parametrize("key", KEYS)
def test_every_key__refuses_a_text_that_means_nothing(key, chip_file):
    section, _, name = key.partition(".")
    with pytest.raises(ParameterError, match=name) as caught:
        load_hardware(chip_file(f'[{section}]\n{name} = "purple"'))
    assert "purple" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", hardware_names())
def test_repr__evaluates_back(name):
    names = {each.__name__: each for each in
             (Hardware, AdaptiveMemristor, Resistor, Spread, ReadNoise, Retention, Wires, TileShape, Dac, Adc, GateDac,
              Sense, Choices, Costs, Part, Component, Band)}  # fmt: skip
    hardware = load_hardware(name)
    assert eval(repr(hardware), names | {"inf": math.inf}) == hardware  # noqa: S307


# files


def test_file__changes_what_it_names_and_nothing_else(chip_file):
    path = chip_file("[wires]\nr_row = 2.8\n[dac]\nbits = 6\n")
    assert load_hardware(path) == dataclasses.replace(
        Hardware(), name="mine", wires=Wires(2.8, 1.06, 100.0, 10.0), dac=dataclasses.replace(Hardware().dac, bits=6)
    )


def test_file__may_name_itself(chip_file):
    hardware = load_hardware(chip_file('name = "fast"\nabout = "one sentence"\n'))
    assert (hardware.name, hardware.about) == ("fast", "one sentence")


def test_preset__comes_first_and_keys_change_it(chip_file):
    hardware = load_hardware(chip_file('[cell]\ng_max = 4e-5\npreset = "ideal_adaptive"\n'))
    assert hardware.cell == dataclasses.replace(PRESETS["ideal_adaptive"](), g_max=4e-5)


def test_file__keeps_the_cell_that_its_base_chose(chip_file):
    hardware = load_hardware(chip_file('base = "two_terminal"\n[cell]\ng_max = 4e-5\n'))
    assert hardware.cell == dataclasses.replace(PRESETS["two_terminal"](), g_max=4e-5)


def test_base__is_inherited_over_two_steps(chip_file):
    chip_file('base = "ideal"\n[tile]\nrows = 64\n[adc]\nbits = 5\n', "first.toml")
    second = chip_file('base = "first.toml"\n[adc]\ncolumns = 4\n', "second.toml")
    hardware, ideal = load_hardware(second), load_hardware("ideal")
    assert hardware.name == "second"
    assert hardware.adc == dataclasses.replace(ideal.adc, bits=5, columns=4)
    assert hardware.tile == dataclasses.replace(ideal.tile, rows=64)
    assert hardware.wires == ideal.wires


def test_base__path_is_seen_from_the_file_that_names_it(chip_file, tmp_path, monkeypatch):
    chip_file("[tile]\nrows = 7\n", "deep/below/ground.toml")
    top = chip_file('base = "deep/middle.toml"\n', "top.toml")
    chip_file('base = "below/ground.toml"\n', "deep/middle.toml")
    monkeypatch.chdir(tmp_path / "deep")
    assert load_hardware(top).tile.rows == 7
    assert load_hardware("../top.toml").tile.rows == 7


@pytest.mark.parametrize("spelling", ["mine.toml", "./mine.toml", "../folder/mine.toml"])
def test_base__of_its_own_is_refused(spelling, chip_file):
    path = chip_file(f'base = "{spelling}"\n', "folder/mine.toml")
    with pytest.raises(ParameterError, match="is its own base"):
        load_hardware(path)


def test_base__in_a_circle_is_refused(chip_file):
    chip_file('base = "b.toml"\n', "a.toml")
    with pytest.raises(ParameterError, match=r"a\.toml is its own base"):
        load_hardware(chip_file('base = "a.toml"\n', "b.toml").with_name("a.toml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[wire]\nr_row = 1.0", "unknown section 'wire'; nearest valid: wires"),
        ("[wires]\nr_rows = 1.0", r"unknown key 'wires\.r_rows'; nearest valid: wires\.r_row"),
        ("[gate_dac]\nbit = 4", r"unknown key 'gate_dac\.bit'; nearest valid: gate_dac\.bits"),
        ("[cell]\npresets = 'x'", r"nearest valid: cell\.preset"),
        ("[cell]\npreset = 'adaptive2d'", r"unknown cell\.preset 'adaptive2d'; nearest valid: adaptive_2d"),
        ("[cell]\npreset = [1]", r"unknown cell\.preset '\[1\]'; valid are adaptive_2d, "),
        ("[cell]\npreset = 'resistor'\nv_0 = 1.0", r"unknown key 'cell\.v_0'"),
        ("nane = 'x'", "unknown section 'nane'; nearest valid: name"),
        ("[zzz]", "unknown section 'zzz'; valid are about, adc, base, cell, "),
        ("[wires]\nqqqqqqq = 1", r"unknown key 'wires\.qqqqqqq'; valid are wires\.r_column, "),
        ("wires = 3", "wires must be a section with keys, got 3"),
        ("name = 3", "name must be a text, got 3"),
        ("base = ['ideal']", r"base must be a text, got \['ideal'\]"),
        ("base = 'idael'", "unknown chip 'idael'; nearest valid: ideal"),
        ("base = 'none.toml'", r"there is no chip description .*none\.toml"),
        ("[dac]\nbits = 8.0", r"dac\.bits must be a whole number or 'ideal', got 8\.0"),
        ("[dac]\nbits = true", r"dac\.bits must be a whole number or 'ideal', got True"),
        ("[adc]\ncolumns = 'ideal'", r"adc\.columns must be a whole number, got 'ideal'"),
        ("[tile]\nrows = 'ideal'", r"tile\.rows must be a whole number, got 'ideal'"),
        ("[dac]\ncoding = 3", r"dac\.coding must be a text, got 3"),
        ("[dac]\ncoding = 'pulse'", r"\[dac\] dac\.coding must be one of pulse-width, bit-serial, amplitude"),
        ("[dac]\ncoding = 'bit-serial'\nbits = 'ideal'", r"dac\.bits must be a number for dac\.coding = 'bit-serial'"),
        ("[noise]\nflicker = 1", r"\[noise\] flicker must be True or False, got 1"),
        ("[wires]\nr_row = -2.5", r"\[wires\] r_row must be ≥ 0 Ω, got -2\.5 Ω"),
        ("[wires]\nr_row = nan", r"\[wires\] r_row must be a real number in Ω, got nan"),
        ("[wires]\nr_column = inf", r"\[wires\] r_column must be finite"),
        ("[cell]\ng_min = 1.0", r"\[cell\] g_m.. must be"),
        ("[spread]\nstuck_on = 0.7\nstuck_off = 0.7", r"\[spread\] stuck_on \+ stuck_off must be ≤ 1, got 1\.4"),
        ("[tile]\ncolumns = 7", r"\[tile\] tile\.columns must be even, as two columns make a pair, got 7"),
        ("[tile]\ngate_nodes = 1", r"\[tile\] tile\.gate_nodes must be from 2 to 64, got 1"),
        ("[costs]\nadc_model = 'survy'", r"\[costs\] costs\.adc_model must be one of survey, neurosim, isaac"),
        (
            "[mapping]\nlayout = 'paralel'",
            r"\[mapping\] mapping\.layout must be one of parallel, stacked, digital, repr",
        ),
        ("[mapping.layouts]\na = 'b'", r"\[mapping\] mapping\.layouts\.a must be one of parallel, stacked, .*got 'b'"),
        (
            "[mapping]\nlayouts = 3",
            r"\[mapping\] mapping\.layouts must be a table with one entry for each layer, got 3",
        ),
        ("[mapping.copies]\na = 0", r"\[mapping\] mapping\.copies\.a must be from 1 to 4096, got 0"),
        ("[mapping]\nweight_area = -1.0", r"\[mapping\] weight_area must be ≥ 0, got -1"),
        ("[wires\n", "is not valid TOML"),
        ("[wires]\nr_row = 1\nr_row = 2\n", "is not valid TOML"),
    ],
)
def test_file__refuses_by_name(text, words, chip_file):
    path = chip_file(text)
    with pytest.raises(ParameterError, match=words) as caught:
        load_hardware(path)
    assert "\n" not in str(caught.value)
    assert path.stem in str(caught.value) or "there is no chip description" in str(caught.value)


def test_load__of_what_is_no_file(tmp_path):
    with pytest.raises(ParameterError, match=r"there is no chip description .*missing\.toml"):
        load_hardware(tmp_path / "missing.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ParameterError, match=r"folder\.toml cannot be read"):
        load_hardware(tmp_path / "folder.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ParameterError, match=r"bytes\.toml cannot be read"):
        load_hardware(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("adaptive2", "unknown chip 'adaptive2'; nearest valid: adaptive2d"),
        ("xyz", "valid are adaptive2d, ideal, .*, volatile2d; a path must end in .toml"),
        ("", "unknown chip ''"),
        (f"some{os.sep}where", "there is no chip description some.where"),
    ],
)
def test_load__of_an_unknown_name(name, words):
    with pytest.raises(ParameterError, match=words):
        load_hardware(name)


# settings


def test_with_values__changes_what_it_names_and_nothing_else():
    hardware = Hardware()
    changed = hardware.with_values(["wires.r_row=2.8", "dac.coding=bit-serial", "adc.bits=ideal", " tile.rows = 64"])
    assert changed == dataclasses.replace(
        hardware,
        wires=Wires(2.8, 1.06, 100.0, 10.0),
        dac=dataclasses.replace(hardware.dac, coding="bit-serial"),
        adc=Adc(bits=None),
        tile=TileShape(rows=64),
    )
    assert hardware == Hardware()
    assert hardware.with_values([]) == hardware


def test_with_values__of_one_section_are_taken_together():
    """Neither alone would be in bounds."""
    changed = Hardware().with_values(["cell.g_min=1e-4", "cell.g_max=2e-4"])
    assert (changed.cell.g_min, changed.cell.g_max) == (1e-4, 2e-4)


def test_tables__add_to_those_of_the_base(chip_file):
    chip_file('[mapping.layouts]\na = "digital"\nb = "stacked"\n', "first.toml")
    hardware = load_hardware(
        chip_file('base = "first.toml"\n[mapping.layouts]\nb = "parallel"\n[mapping.copies]\nc = 2\n')
    )
    assert hardware.mapping == Choices(layouts={"a": "digital", "b": "parallel"}, copies={"c": 2})
    changed = hardware.with_values(["mapping.layouts.a=reprogram", "mapping.layout=auto", "mapping.copies.d=3"])
    assert changed.mapping == Choices("auto", {"a": "reprogram", "b": "parallel"}, {"c": 2, "d": 3})
    assert [changed.mapping.of(name) for name in "abc"] == ["reprogram", "parallel", "auto"]
    assert hardware.mapping.layouts == {"a": "digital", "b": "parallel"}


def test_with_values__the_last_of_one_key_counts():
    assert Hardware().with_values(["tile.rows=3", "tile.rows=5"]).tile.rows == 5


@pytest.mark.parametrize("value", ["0.25", "2.5e-1", "+0.25"])
def test_with_values__reads_numbers_as_toml_does(value):
    assert Hardware().with_values([f"wires.r_row={value}"]).wires.r_row == 0.25


def test_with_values__inf_is_a_resistance():
    assert Hardware().with_values(["wires.r_driver=inf"]).wires.r_driver == math.inf


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("wires.r_row", "takes SECTION.KEY=VALUE such as wires.r_row=2.8, got 'wires.r_row'"),
        ("r_row=2", "takes SECTION.KEY=VALUE"),
        ("wires.=2", "takes SECTION.KEY=VALUE"),
        ("=2", "takes SECTION.KEY=VALUE"),
        ("wires.r_row=", r"\[wires\] r_row must be a real number in Ω, got ''"),
        ("wires.r_row=-1", r"--set: \[wires\] r_row must be ≥ 0 Ω, got -1 Ω"),
        ("wires.r_raw=1", r"--set: unknown key 'wires\.r_raw'; nearest valid: wires\.r_row"),
        ("wrie.r_row=1", "--set: unknown section 'wrie'; nearest valid: wires"),
        ("name.x=1", "--set: unknown section 'name'; valid are adc, "),
        ("wires.r_row=two", r"r_row must be a real number in Ω, got 'two'"),
    ],
)
def test_with_values__refuses_by_name(setting, words):
    with pytest.raises(ParameterError, match=words):
        Hardware().with_values([setting])


# what a description can do


def test_idealised__keeps_tiles_window_and_converter_shapes():
    hardware = load_hardware("adaptive2d").with_values(["tile.rows=32", "dac.coding=bit-serial", "adc.columns=4"])
    ideal = hardware.idealised()
    # there is nothing to adjust, and no converter whose LSB could allow an error
    assert ideal.tile == dataclasses.replace(hardware.tile, adjust_outputs=False, family_error=0.0)
    assert ideal.costs == hardware.costs
    assert (ideal.cell.g_min, ideal.cell.g_max) == (hardware.cell.g_min, hardware.cell.g_max)
    assert (ideal.cell.gain_low, ideal.cell.gain_high) == (hardware.cell.gain_low, hardware.cell.gain_high)
    assert (ideal.cell.v_0, ideal.cell.r_series, ideal.cell.g_leak) == (math.inf, 0.0, 0.0)
    assert (ideal.spread, ideal.noise) == (Spread.none(), ReadNoise.none())
    assert ideal.wires == Wires(0.0, 0.0, 0.0, 0.0)
    assert (ideal.dac.bits, ideal.adc.bits, ideal.adc.offset, ideal.gate_dac.bits) == (None, None, 0.0, None)
    assert ideal.adc.columns == 4
    assert ideal.idealised() == ideal


def test_idealised__of_a_resistor_keeps_the_resistor():
    hardware = dataclasses.replace(Hardware(), cell=Resistor())
    assert hardware.idealised().cell == Resistor()
    assert hardware.temperature == 300.0


def test_validate__wants_a_gate_for_a_dynamic_layer_only():
    bare = load_hardware("two_terminal")
    bare.validate("conv1", gated=False)
    load_hardware("adaptive2d").validate("conv1", gated=True)
    with pytest.raises(MappingError, match=r"conv1 is a dynamic layer.*'two_terminal' have no gate: choose"):
        bare.validate("conv1", gated=True)


def test_temperature__is_the_cells(chip_file):
    assert load_hardware(chip_file("[cell]\ntemperature = 320.0\n")).temperature == 320.0


def test_description__is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Hardware().name = "x"


def test_tile__pairs_are_half_the_columns():
    assert TileShape(columns=6).pairs == 3


def test_chips__have_no_other_files():
    assert {path.suffix for path in Path(CHIPS).iterdir()} == {".toml"}


# docs/chips.md


def documented():
    """Key → (unit, default) of every table row of the page, by section."""
    page = (Path(__file__).parents[1] / "docs" / "chips.md").read_text(encoding="utf-8")
    found = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        for key, unit, default, meaning, source in re.findall(
            r"^\| `(\w+)` \|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|$", body, flags=re.MULTILINE
        ):
            assert heading.startswith("["), heading
            assert meaning.strip()
            assert source.strip()
            found[f"{heading.strip('[]')}.{key}"] = (unit.strip(), default.strip())
    return found


def test_page__has_every_key_with_its_default():
    """Neither a key without a row, nor a row without a key, nor another default."""
    page, hardware = documented(), Hardware()
    assert list(page) == KEYS
    for key, (_, text) in page.items():
        section, _, name = key.partition(".")
        default = getattr(getattr(hardware, section), name)
        try:
            shown = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            shown = None if text == IDEAL or key == "noise.table" else text  # a word
        assert shown == default, key
        assert type(shown) is type(default), key


def test_page__has_every_unit():
    page, hardware = documented(), Hardware()
    for key, (unit, _) in page.items():
        section, _, name = key.partition(".")
        field = next(each for each in dataclasses.fields(getattr(hardware, section)) if each.name == name)
        wanted = "Ω" if section == "wires" else field.metadata.get("unit", "")
        assert unit == wanted, key


def test_page__names_the_bundled_chips_and_the_presets():
    page = (Path(__file__).parents[1] / "docs" / "chips.md").read_text(encoding="utf-8")
    for name in (*hardware_names(), *PRESETS):
        assert f"`{name}`" in page


def test_page__first_example_is_a_chip(chip_file):
    page = (Path(__file__).parents[1] / "docs" / "chips.md").read_text(encoding="utf-8")
    hardware = load_hardware(chip_file(re.search(r"```toml\n(.*?)```", page, flags=re.DOTALL)[1]))
    assert hardware == dataclasses.replace(
        Hardware().with_values(["wires.r_row=2.8", "wires.r_column=2.8", "adc.bits=6"]),
        name="mine", about="older wires, coarser converters",
    )  # fmt: skip


# cells of every kind


@pytest.mark.parametrize("preset", ["vteam", "stanford_pku", "stanford_asu", "selected_two_terminal", "resistor"])
def test_gateless_cells__take_static_layers_and_refuse_gated_ones(preset, chip_file):
    hardware = load_hardware(chip_file(f'[cell]\npreset = "{preset}"\n[dac]\nv_read = 0.3\n'))
    assert hardware.cell == PRESETS[preset]()
    hardware.validate("conv1", gated=False)
    with pytest.raises(MappingError, match=r"conv1 is a dynamic layer, .* cells of chip 'mine' have no gate: choose"):
        hardware.validate("conv1", gated=True)


def test_selectors__want_a_read_voltage_that_switches_them(chip_file):
    hardware = load_hardware(chip_file('[cell]\npreset = "selected_2d"\n[dac]\nv_read = 0.1\n'))
    with pytest.raises(MappingError, match=r"conv1 would be read at dac.v_read = 0.1 V, .* cell.v_threshold = 0.2 V"):
        hardware.validate("conv1", gated=True)
    hardware.with_values(["dac.v_read=0.3"]).validate("conv1", gated=True)
    hardware.with_values(["cell.v_threshold=0.05"]).validate("conv1", gated=True)


def test_cells__of_the_literature_have_their_own_keys(chip_file):
    hardware = load_hardware(chip_file('[cell]\npreset = "vteam"\nr_on = 1e4\nr_off = 1e6\n'))
    assert hardware.cell == dataclasses.replace(PRESETS["vteam"](), r_on=1e4, r_off=1e6)
    with pytest.raises(ParameterError, match=r"unknown key 'cell\.gap'; nearest valid: cell\.gap_1"):
        load_hardware(chip_file('[cell]\npreset = "stanford_pku"\ngap = 1e-9\n'))


@pytest.mark.parametrize("preset", PRESETS)
def test_idealised__keeps_the_window_and_multiplies_exactly(preset):
    cell = PRESETS[preset]()
    ideal = dataclasses.replace(Hardware(), cell=cell).idealised()
    assert (ideal.cell.g_min, ideal.cell.g_max) == pytest.approx((cell.g_min, cell.g_max), rel=1e-12)
    gain = ideal.cell.gain_high
    assert ideal.cell.terminal_conductance(cell.g_max, gain, 0.3) == pytest.approx(gain * cell.g_max, rel=1e-12)
    assert ideal.cell.gated == cell.gated


def test_wires__have_the_temperature_of_the_cells():
    usual = Hardware()
    assert usual.wires_in_use is usual.wires
    warm = Hardware().with_values(["cell.temperature=340.0"])
    assert warm.wires_in_use.r_row == pytest.approx(1.06 * 1.18, rel=1e-12)
    assert warm.wires_in_use.r_driver == 100.0
    assert dataclasses.replace(Hardware(), cell=Resistor()).temperature == 300.0
    cold = warm.with_values(["spread.wire_temperature_coefficient=0.0"])
    assert cold.wires_in_use is cold.wires
