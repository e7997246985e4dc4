"""Every key of a chip description acts in the right direction, or a run says why it cannot act."""

import dataclasses
import functools
import json
import math

import numpy as np
import pytest

from crossbar.tiles.tile import Tile
from devices.errors import ParameterError
from mapping.chips.chip import Chip
from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.hardware.idle_keys import Uses, idle, idle_settings
from mapping.inference.running import run
from mapping.report.pricing import price
from mapping.report.values import COMPONENTS
from mapping.studies.uses import uses_of
from mapping.workflow.compiling import compile_network
from mapping.workflow.layout_choice import score
from mapping.workflow.writing import write
from tests.key_effects import ALSO, EFFECTS, ELSEWHERE
from tests.small_networks import thorough

TILE = ("tile.rows=24", "tile.columns=16")
DAY = 86_400.0  # [s]


def key_of(setting: str) -> str:
    """SECTION.KEY of a setting; a table's entry belongs to the key of the table."""
    return ".".join(setting.partition("=")[0].split(".")[:2])


class Ran:
    """The thorough network on a chip: written, run and priced once."""

    def __init__(self, settings: tuple[str, ...]) -> None:
        self.settings = settings
        rng = np.random.default_rng(7)
        network = thorough(rng)
        calibration, self.images = (rng.uniform(size=(n, *network.input_shape)) for n in (24, 8))
        self.hardware = Hardware().with_values((*TILE, *settings))
        self.program = compile_network(network, self.hardware, calibration)
        self.chip: Chip = write(self.program, 3)
        self.result = run(self.chip, self.images, seed=3)
        self.report = price(self.result)
        told = json.loads(self.report.to_json())
        del told["configuration"], told["compensated"]
        self.everything = (self.result.logits.tobytes(), json.dumps(told))

    @property
    def error(self) -> float:
        return float(np.sqrt(np.mean((self.result.logits - self.result.exact) ** 2)))

    @property
    def distance(self) -> float:
        """From the same chip, reduced at 24 gate voltages."""
        fine = ran((*self.settings, "tile.gate_nodes=24"))
        return float(np.abs(self.result.logits - fine.result.logits).max())

    @property
    def kept(self) -> int:
        """Number of matrices that the tiles keep."""
        return sum(tile.signal.shape[1] for held in self.chip.tiles.values() for tile in held if isinstance(tile, Tile))

    @property
    def noise(self) -> float:
        others = [run(self.chip, self.images, seed=seed).logits for seed in range(4, 12)]
        return float(np.sqrt(np.mean([(each - self.result.logits) ** 2 for each in others])))


@functools.lru_cache(maxsize=256)
def ran(settings: tuple[str, ...]) -> Ran:
    return Ran(settings)


def grown(hardware: Hardware, temperature: float = 300.0) -> float:
    cell = dataclasses.replace(hardware.cell, temperature=temperature)
    return float(cell.evolve(0.2, 0.5, 4.0, 2e-6))


QUANTITIES = {
    "error": lambda one: one.error,
    "distance from 24 gate nodes": lambda one: one.distance,
    "matrices of tiles": lambda one: one.kept,
    "read noise": lambda one: one.noise,
    "latency": lambda one: one.report.latency_s_per_image,
    "time between images": lambda one: 1.0 / one.report.images_per_s,
    "area": lambda one: one.report.area_m2,
    "tiles": lambda one: one.report.tiles,
    "highest energy": lambda one: one.report.energy_band_J_per_image[1],
    "time until cells are worn out": lambda one: one.report.lifetime_s,
    "resistance of a row's wire": lambda one: one.hardware.wires_in_use.r_row,
    "lowest gate voltage": lambda one: one.hardware.cell.v_gate_min,
    "gate's range of read gains": lambda one: one.hardware.cell.gain_high / one.hardware.cell.gain_low,
    "read gain at 1 V": lambda one: float(one.hardware.cell.gate_gain(1.0)),
    "current of an open cell": lambda one: float(one.hardware.cell.current(0.8, 4.0, 0.1)[0]),
    "current of a closed cell": lambda one: float(one.hardware.cell.current(0.01, -2.0, 0.1)[0]),
    "curvature of an open cell": lambda one: float(
        one.hardware.cell.current(0.2, 4.0, 0.2)[0] / one.hardware.cell.current(0.2, 4.0, 0.1)[0]
    ),
    "growth under 0.5 V": lambda one: grown(one.hardware),
    "growth under 0.5 V at 330 K": lambda one: grown(one.hardware, 330.0),
    "state left after -0.5 V": lambda one: float(one.hardware.cell.evolve(0.8, -0.5, 0.0, 2e-6)),
    "state left after -0.5 V at an open gate": lambda one: float(one.hardware.cell.evolve(0.8, -0.5, 4.0, 2e-6)),
    "energy of writes and buffers": lambda one: sum(
        layer.energy_by_component_J[name] for layer in one.report.layers for name in ("writes", "buffers")
    ),
    "state of a weak filament after a day": lambda one: float(one.hardware.cell.evolve(0.05, 0.0, 0.0, DAY)),
    "energy between matrices": lambda one: one.report.energy_between_J_per_image,
    **{
        f"energy of {name}": lambda one, name=name: sum(
            layer.energy_by_component_J[name] for layer in one.report.layers
        )
        for name in COMPONENTS
    },
    **{
        f"weight of {name}": lambda one, name=name: score(
            {each: math.e if each == name else 1.0 for each in ("energy", "latency", "area", "error")}, one.hardware
        )
        for name in ("energy", "latency", "area", "error")
    },
}  # fmt: skip


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.setting.partition("=")[0])
def test_key__moves_its_quantity_in_the_right_direction(effect):
    quantity = QUANTITIES[effect.quantity]
    before, after = quantity(ran(effect.base)), quantity(ran((*effect.base, effect.setting)))
    assert effect.sign * (after - before) > 1e-9 * abs(before), (before, after)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.setting.partition("=")[0])
@pytest.mark.parametrize("acting", [False, True], ids=["default", "acting"])
def test_key__changes_a_run_or_says_why_not(effect, acting):
    """On the default chip, and under the settings where it acts: the sentence is there if and only if nothing moves."""
    if acting and not effect.base:
        pytest.skip("the row is of the default chip")
    settings = effect.base if acting else ()
    try:
        one = ran((*settings, effect.setting))
    except ParameterError:
        assert not acting
        pytest.skip("the default chip refuses the key with a sentence")
    if one.hardware == ran(settings).hardware:
        pytest.skip("the default chip has this value")
    same = one.everything == ran(settings).everything
    said = idle(one.hardware, [key_of(effect.setting)], uses_of(one.program))
    assert same == bool(said), said


@pytest.mark.parametrize(("setting", "base"), ALSO, ids=lambda value: value if isinstance(value, str) else "")
def test_key__on_other_chips_acts_or_says_why_not(setting, base):
    one = ran((*base, setting))
    same = one.everything == ran(base).everything
    said = idle(one.hardware, [key_of(setting)], uses_of(one.program))
    assert same == bool(said), said


def test_effects__every_key_of_a_chip_has_a_row():
    known = {key_of(effect.setting) for effect in EFFECTS}
    hardware = Hardware()
    keys = {
        f"{section.name}.{field.name}"
        for section in dataclasses.fields(hardware)
        if dataclasses.is_dataclass(part := getattr(hardware, section.name))
        for field in dataclasses.fields(part)
        if field.init
    }
    assert keys - known - ELSEWHERE == set(), "rows that tests/key_effects.py lacks"
    assert known <= keys


# what a run says


@pytest.mark.parametrize(
    ("settings", "uses", "words"),
    [
        (["adc.bits=ideal", "adc.offset=1"], Uses(), ["adc.offset cannot act: an ideal converter"]),
        (["mapping.weight_area=2"], Uses(), ["mapping.weight_area cannot act: it weighs layouts only where"]),
        (["mapping.layout=auto", "mapping.weight_area=2"], Uses(), []),
        (["noise.traps=1", "noise.telegraph=true"], Uses(), []),
        (["noise.traps=1"], Uses(), ["noise.traps cannot act: noise.telegraph is off"]),
        (["spread.gate_offset_cell=0.1"], Uses(gated=False), ["spread.gate_offset_cell cannot act: no gate"]),
        (
            ["costs.endurance=1e6", "retention.refresh_change=0"],
            Uses(rewritten=False),
            ["costs.endurance cannot act: no cell is written again"],
        ),
        (["costs.endurance=1e6"], Uses(rewritten=False), []),
        (
            ["cell.preset=resistor", "retention.refresh_change=0.01"],
            Uses(gated=False),
            ["retention.refresh_change cannot act: these cells have no state equation"],
        ),
        (
            ["costs.endurance=1e6", "retention.refresh_change=0", "retention.refresh_images=1e5"],
            Uses(rewritten=False),
            [],
        ),
        ([], Uses(), []),
    ],
)
def test_idle_settings__name_what_was_set_and_cannot_act(settings, uses, words):
    said = [str(each) for each in idle_settings("adaptive2d", settings, uses)]
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True)), said


def test_idle_settings__of_a_file_and_not_of_its_bundled_base(tmp_path):
    """The two-terminal chip sets no gate; a file of the user's own that does is told."""
    assert idle_settings("two_terminal", [], Uses(gated=False)) == ()
    path = tmp_path / "mine.toml"
    path.write_text('base = "two_terminal"\n[spread]\ngate_offset_cell = 0.1\nwrite_error = 0.02\n')
    (said,) = idle_settings(path, [], Uses())
    assert str(said) == "spread.gate_offset_cell cannot act: the cells have no gate"
    assert load_hardware(path).spread.write_error == 0.02


def test_idle_settings__an_ideal_chip_replaces_what_it_idealises():
    said = idle_settings("adaptive2d", ["wires.r_row=3", "dac.t_slot=2e-9"], Uses(), ideal=True)
    assert [str(each) for each in said] == ["wires.r_row cannot act: the ideal chip has another value"]
