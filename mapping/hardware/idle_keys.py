"""Keys of a chip description that cannot act under its other settings, each with the reason in one sentence."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from devices.cells.interface import Cell
from devices.cells.selected import SelectedCell
from mapping.hardware.description import AUTO, Hardware
from mapping.hardware.description_files import CHIPS
from mapping.hardware.value_origins import origins


@dataclass(frozen=True)
class Uses:
    """What a run uses of a chip; a key of a part that the run does not use cannot act."""

    dynamic: bool = True  #: whether the network has layers with several kernels
    gated: bool = True  #: whether gates set the read gain of kernels or of columns
    channel_attention: bool = True  #: whether the network has channel attention
    rewritten: bool = True  #: whether cells are written again for each image
    compared: bool = True  #: whether the network compares numbers digitally: ReLU, max pools


@dataclass(frozen=True)
class Idle:
    """A key that cannot act, and why."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key} cannot act: {self.reason}"


_Rule = tuple[tuple[str, ...], Callable[[Hardware, Uses], bool], str]

_TRAPS = ("noise.traps", "noise.trap_ratio", "noise.trap_ln_sigma", "noise.dwell_median", "noise.dwell_ln_sigma")
_STUCK = ("tile.trim_pairs", "tile.compensate_stuck", "tile.stuck_missed")
_AUTO = ("mapping.weight_energy", "mapping.weight_latency", "mapping.weight_area", "mapping.weight_error")
_GATES = (
    "gate_dac.bits", "gate_dac.t_settle", "tile.gate_nodes", "tile.family_error", "spread.gate_offset_line",
    "spread.gate_offset_cell",
    "gate_dac.r_relative", "costs.e_gate_dac", "mapping.double_gates", "cell.g_gate_leak",
)  # fmt: skip
_RESET = ("cell.k_reset", "cell.v_reset", "cell.beta_reset")


def _stuck(hardware: Hardware) -> bool:
    return hardware.spread.stuck_on + hardware.spread.stuck_off > 0.0


def _autos(hardware: Hardware) -> bool:
    return AUTO in (hardware.mapping.layout, *hardware.mapping.layouts.values())


def _inner(cell: Cell) -> Cell:
    return cell.cell if isinstance(cell, SelectedCell) else cell


def _refreshed(hardware: Hardware) -> bool:
    held = hardware.retention
    moved = held.refresh_change > 0.0 and hasattr(_inner(hardware.cell), "evolve")
    return moved or held.refresh_images > 0.0 or held.refresh_time > 0.0


#: keys, whether they cannot act, and the reason; the first rule that holds for a key counts
RULES: tuple[_Rule, ...] = (
    (_GATES, lambda h, _: not h.cell.gated, "the cells have no gate"),
    (_GATES, lambda _, u: not u.gated, "no gate sets a read gain in this run"),
    (
        ("mapping.layout", "mapping.layouts"), lambda _, u: not u.dynamic,
        "the network has no layer that mixes several kernels",
    ),
    (
        ("mapping.channel_attention",), lambda _, u: not u.channel_attention,
        "no layer of the network scales channels by attention",
    ),
    (_AUTO, lambda h, _: not _autos(h), "it weighs layouts only where mapping.layout is 'auto'"),
    (_AUTO, lambda _, u: not u.dynamic, "the network has no layer whose layout could be chosen"),
    (
        ("adc.offset", "adc.calibration"), lambda h, _: h.adc.bits is None,
        "an ideal converter (adc.bits) has no LSB to be off by",
    ),
    (
        ("tile.family_error",), lambda h, _: h.adc.bits is None,
        "an ideal converter (adc.bits) resolves any error, so gated arrays keep all their matrices",
    ),
    (
        ("adc.v_swing",), lambda h, _: not (h.adc.c_sample or h.adc.comparator_noise),
        "converters have no noise of their own: adc.c_sample and adc.comparator_noise are 0",
    ),
    (("adc.clock",), lambda h, _: h.adc.circuit == "generic", "adc.sample_rate sets the pace of a generic converter"),
    (("adc.sample_rate",), lambda h, _: h.adc.circuit != "generic", "adc.clock sets the pace of adc.circuit"),
    (
        ("noise.observation_time", "noise.reference_low", "noise.reference_high"),
        lambda h, _: not h.noise.flicker and not h.noise.telegraph, "noise.flicker and noise.telegraph are off",
    ),
    (_TRAPS, lambda h, _: not h.noise.telegraph, "noise.telegraph is off"),
    (("spread.write_error",), lambda h, _: not h.spread.verified, "writes are not verified (spread.verified)"),
    (("tile.trim_pairs",), lambda h, _: not h.spread.verified, "writes are not verified (spread.verified)"),
    (_STUCK, lambda h, _: not _stuck(h), "no cell is stuck: spread.stuck_on and spread.stuck_off are 0"),
    (
        ("tile.compensate_wires",),
        lambda h, _: h.wires.ideal,
        "all wires have 0 Ω",
    ),
    (
        ("spread.wire_temperature_coefficient",), lambda h, _: h.temperature == 300.0,
        "the wires have 300 K, the temperature for which their resistance is given",
    ),
    (("retention.relaxation",), lambda h, _: h.retention.age == 0.0, "retention.age is 0"),
    (
        ("retention.age", "retention.relaxation"), lambda h, _: not hasattr(_inner(h.cell), "evolve"),
        "these cells have no state equation, so they do not age",
    ),
    (
        ("cell.e_activation",),
        lambda h, _: h.temperature == 300.0 and h.retention.temperature in (0.0, 300.0),
        "cells are at 300 K, the temperature for which the rates are given",
    ),
    (
        ("retention.refresh_change",), lambda h, _: not hasattr(_inner(h.cell), "evolve"),
        "these cells have no state equation, so reads do not move them",
    ),
    (
        ("retention.rate",), lambda h, _: h.retention.age == 0.0 and not _refreshed(h),
        "retention.age is 0, and the chip is not refreshed",
    ),
    (
        ("retention.adjusted",), lambda h, _: not h.tile.adjust_outputs or not h.retention.changes,
        "the run finds the chip as it was written, or no output is adjusted (tile.adjust_outputs)",
    ),
    (
        ("cell.e_dissolution",), lambda h, _: not h.retention.temperature,
        "cells stay at cell.temperature (retention.temperature)",
    ),
    (
        _RESET, lambda h, _: h.dac.polarity == "positive",
        "a run draws write errors (spread), and reads of one polarity dissolve no filament (dac.polarity)",
    ),
    (
        ("costs.endurance",),
        lambda h, u: not (u.rewritten or _refreshed(h)),
        "no cell is written again: no layer is rewritten for an image, and the chip is not refreshed (retention)",
    ),
    (("costs.stored_bits",), lambda _, u: not u.rewritten, "no layer is rewritten for an image"),
    (("costs.e_compare",), lambda _, u: not u.compared, "the network compares no numbers"),
    (
        ("costs.e_row_code",), lambda h, _: h.dac.coding != "amplitude",
        "rows are driven by pulses, and only amplitudes are converted (dac.coding)",
    ),
    (
        ("costs.row_timer", "costs.e_delay"), lambda h, _: h.dac.coding == "amplitude",
        "rows are driven by amplitudes, which no timer ends (dac.coding)",
    ),
    (("costs.e_external",), lambda h, _: h.costs.external == "none", "costs.external is 'none'"),
    (
        ("sense.quiescent",), lambda h, _: h.sense.stage != "push-pull",
        "only amplifiers with a push-pull stage have a current at rest of their own (sense.stage)",
    ),
    (
        ("sense.efficiency",), lambda h, _: h.sense.regulator != "switched",
        "rows draw their current from the supply through a linear regulator (sense.regulator)",
    ),
)  # fmt: skip


def idle(hardware: Hardware, keys: Iterable[str], uses: Uses) -> tuple[Idle, ...]:
    """Return those of the keys, such as "adc.offset", that cannot change anything in a run, with the reasons."""
    found = []
    for key in dict.fromkeys(keys):
        reason = next((said for names, holds, said in RULES if key in names and holds(hardware, uses)), None)
        if reason is not None:
            found.append(Idle(key, reason))
    return tuple(found)


def idle_settings(
    name_or_path: str | os.PathLike[str], settings: Iterable[str], uses: Uses, *, ideal: bool = False
) -> tuple[Idle, ...]:
    """Return the keys that a user has set, by a setting or in a file of their own, and that cannot act.

    ideal: whether the run replaces the description by `Hardware.idealised()`.
    Raises ParameterError as `load_hardware` and `Hardware.with_values` do.
    """
    hardware, entries = origins(name_or_path, settings)
    bundled = {path.stem for path in CHIPS.glob("*.toml")}
    mine = [each for each in entries if each.origin not in {"default", *bundled} and not _of_preset(each.origin)]
    if not ideal:
        return idle(hardware, [f"{each.section}.{each.key}" for each in mine], uses)
    flat = hardware.idealised()
    replaced = [
        Idle(f"{each.section}.{each.key}", "the ideal chip has another value")
        for each in mine
        if getattr(getattr(flat, each.section), each.key, None) != each.value
    ]
    gone = {each.key for each in replaced}
    left = [key for each in mine if (key := f"{each.section}.{each.key}") not in gone]
    return (*replaced, *idle(flat, left, uses))


def _of_preset(origin: str) -> bool:
    return origin.startswith("preset ")
