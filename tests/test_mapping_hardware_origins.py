"""Origins of a chip's values: defaults, presets, files along the bases, settings; and the command that shows them."""

import json
import sys

import pytest

from devices.errors import ParameterError
from mapping.cli import command as cli
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.hardware.value_origins import DEFAULT, origins


@pytest.fixture
def files(tmp_path):
    """A chip of two files on a bundled one: mine.toml <- lab.toml <- two_terminal <- adaptive2d."""
    (tmp_path / "lab.toml").write_text(
        'base = "two_terminal"\n[cell]\ng_max = 4e-5\nv_0 = 0.3\n[wires]\nr_row = 2.0\nr_column = 3.0\n'
    )
    (tmp_path / "mine.toml").write_text('base = "lab.toml"\n[wires]\nr_row = 5.0\n[cell]\ng_max = 3e-5\n')
    return tmp_path


def by_key(entries):
    return {f"{each.section}.{each.key}": each for each in entries}


def test_origins__are_the_last_that_said_something(files):
    hardware, entries = origins(files / "mine.toml", ["adc.bits=6"])
    assert hardware == load_hardware(files / "mine.toml").with_values(["adc.bits=6"])
    found = by_key(entries)
    for key, value, unit, origin in (
        ("wires.r_row", 5.0, "Ω", str(files / "mine.toml")),
        ("wires.r_column", 3.0, "Ω", str(files / "lab.toml")),
        ("wires.r_driver", 100.0, "Ω", "adaptive2d"),
        ("cell.g_max", 3e-5, "S", str(files / "mine.toml")),
        ("cell.v_0", 0.3, "V", str(files / "lab.toml")),
        ("cell.gain_min", 1.0, "", "preset two_terminal"),
        ("spread.gate_offset_line", 0.0, "V", "two_terminal"),
        ("adc.bits", 6, "", "--set"),
        ("adc.margin", 1.1, "", DEFAULT),
    ):
        each = found[key]
        assert (each.value, each.unit, each.origin) == (value, unit, origin), key


def test_origins__of_a_preset_cover_what_was_said_before(files):
    (files / "last.toml").write_text('base = "lab.toml"\n[cell]\npreset = "adaptive_2d"\n')
    found = by_key(origins(files / "last.toml")[1])
    assert (found["cell.g_max"].value, found["cell.g_max"].origin) == (50e-6, "preset adaptive_2d")
    found = by_key(origins("adaptive2d", ["cell.preset=resistor", "cell.g_max=1e-5"])[1])
    assert [found[key].origin for key in ("cell.g_min", "cell.g_max")] == ["preset resistor", "--set"]
    assert "cell.v_0" not in found


def test_origins__of_every_value_that_is_no_default_are_named():
    """What differs from the code's defaults was said by somebody."""
    plain = by_key(origins("adaptive2d")[1])
    for name in ("isaac_like", "neurram_like", "two_terminal", "volatile2d", "ideal"):
        for key, each in by_key(origins(name)[1]).items():
            default = getattr(getattr(Hardware(), each.section), each.key, None)
            assert each.value == default or each.origin != DEFAULT, key
            assert key in plain


def test_origins__refuse_what_loading_refuses(files):
    (files / "round.toml").write_text('base = "round.toml"\n')
    for name, words in ((files / "round.toml", "its own base"), ("adaptive3d", "nearest valid: adaptive2d")):
        with pytest.raises(ParameterError, match=words):
            origins(name)


def test_command__shows_values_units_and_origins(files, monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "160")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["crossgate", "chips", *words])
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    monkeypatch.chdir(files)
    status, out, err = call("show", "mine.toml", "--set", "adc.bits=ideal")
    assert (status, err) == (0, "")
    lines = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    for line in ("wires.r_row 5 Ω mine.toml", "wires.r_driver 100 Ω adaptive2d", "adc.bits ideal --set",
                 "cell.gain_min 1 preset two_terminal", "adc.margin 1.1 default"):  # fmt: skip
        assert line in lines, line
    held = json.loads(call("show", "ideal", "--json")[1])
    assert held["name"] == "ideal"
    assert {"key": "cell.v_0", "value": "inf", "unit": "V", "origin": "preset ideal_adaptive"} in held["values"]
    assert call("ideal", "--json") == call("show", "ideal", "--json")
    status, out, err = call("nothing")
    assert (status, out) == (2, "")
    status, out, err = call("show", "nothing")
    assert (status, out) == (2, "")
    assert err.startswith("crossgate: unknown chip 'nothing'")
    status, out, err = call()
    assert (status, err) == (0, "")
    assert "isaac_like" in out
