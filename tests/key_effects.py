"""What each key of a chip description does: a change, the settings under which it acts, and what it must move.

A new key needs a row here: `tests/test_mapping_hardware_keys.py` finds keys without one.
"""

from typing import NamedTuple


class Effect(NamedTuple):
    """A change of one key and its effect."""

    setting: str  #: KEY=VALUE
    quantity: str  #: a quantity of `tests/test_mapping_hardware_keys.py` that it moves
    sign: int  #: 1 if the quantity grows, -1 if it falls
    base: tuple[str, ...] = ()  #: settings of the chip that is changed


#: a chip on which nothing deviates but what a row adds
QUIET = (
    "spread.window_low_ln_sigma=0", "spread.window_high_cv=0", "spread.write_error=0", "spread.gate_offset_line=0",
    "spread.gate_offset_cell=0", "spread.stuck_on=0", "spread.stuck_off=0", "noise.thermal_shot=false",
    "noise.flicker=false", "adc.bits=ideal", "adc.offset=0", "dac.bits=ideal", "gate_dac.bits=ideal",
    "wires.r_row=0", "wires.r_column=0", "wires.r_driver=0", "wires.r_sense=0", "tile.adjust_outputs=false",
)  # fmt: skip
PLAIN_WIRES = (*QUIET, "tile.compensate_wires=false")
STUCK = (*QUIET, "spread.stuck_on=0.03", "spread.stuck_off=0.05")
AGED = (*QUIET, "retention.age=1e7")
STILL = (*AGED, "retention.relaxation=false")
KEPT = (*QUIET, "retention.refresh_change=0")
FELT = (*KEPT, "retention.images=1e7")
READ = (*KEPT, "retention.images=1e9")
FLICKER = (*QUIET, "noise.flicker=true")
TELEGRAPH = (*QUIET, "noise.telegraph=true", "noise.dwell_ln_sigma=0.1", "noise.traps=1")
EIGHT_BITS = (*QUIET, "adc.bits=8")
COARSE = (*QUIET, "adc.bits=6")
REWRITTEN = ("mapping.layout=reprogram",)
GATED_COLUMNS = ("mapping.channel_attention=gates",)

PART = 'costs.parts.mine={action="a sum", counts="conversions", energy=1e-12, node=22e-9, source="ours"}'

EFFECTS = (
    Effect("cell.g_min=1e-6", "energy of array", 1),
    Effect("cell.g_max=75e-6", "energy of array", 1),
    Effect("cell.v_0=0.1", "curvature of an open cell", 1),
    Effect("cell.r_series=5e3", "current of an open cell", -1),
    Effect("cell.g_leak=1e-7", "current of a closed cell", 1),
    Effect("cell.v_dirac=0.3", "read gain at 1 V", -1),
    Effect("cell.c_gate=2.5e-3", "read gain at 1 V", 1),
    Effect("cell.n_0=4e15", "read gain at 1 V", -1),
    Effect("cell.v_fermi=1.2e6", "read gain at 1 V", 1),
    Effect("cell.gain_min=0.02", "gate's range of read gains", -1),
    Effect("cell.e_half=0.2", "read gain at 1 V", -1),
    Effect("cell.ideality=2.5", "read gain at 1 V", 1),
    Effect("cell.v_gate_min=-1", "lowest gate voltage", 1),
    Effect("cell.v_gate_max=5", "energy of gates", 1),
    Effect("cell.g_gate_leak=1e-12", "energy of gates", 1),
    Effect("cell.beta_reset=0.2", "state left after -0.5 V at an open gate", -1),
    Effect("cell.k_set=1e-4", "growth under 0.5 V", 1),
    Effect("cell.k_reset=4e-3", "state left after -0.5 V", -1),
    Effect("cell.v_set=0.05", "growth under 0.5 V", -1),
    Effect("cell.v_reset=0.05", "state left after -0.5 V", 1),
    Effect("cell.beta=0.6", "growth under 0.5 V", 1),
    Effect("cell.e_activation=0.5", "growth under 0.5 V at 330 K", -1),
    Effect("cell.e_dissolution=0.8", "error", 1, (*STILL, "retention.temperature=340")),
    Effect("cell.lifetime=3e7", "error", 1, STILL),
    Effect("cell.w_critical=0.1", "state of a weak filament after a day", 1),
    Effect("cell.temperature=350", "resistance of a row's wire", 1),
    Effect("spread.window_low_ln_sigma=1", "error", 1, QUIET),
    Effect("spread.window_high_cv=0.3", "error", 1, QUIET),
    Effect("spread.write_error=0.05", "error", 1, QUIET),
    Effect("spread.gate_offset_line=0.3", "error", 1, QUIET),
    Effect("spread.gate_offset_cell=0.3", "error", 1, QUIET),
    Effect("spread.stuck_on=0.1", "error", 1, QUIET),
    Effect("spread.stuck_off=0.1", "error", 1, QUIET),
    Effect("spread.cycle_low_ln_sigma=1", "error", 1, QUIET),
    Effect("spread.cycle_high_cv=0.3", "error", 1, QUIET),
    Effect("spread.verified=false", "error", 1, (*QUIET, "spread.window_high_cv=0.2")),
    Effect("spread.wire_temperature_coefficient=9e-3", "resistance of a row's wire", 1, ("cell.temperature=350",)),
    Effect("noise.thermal_shot=true", "read noise", 1, QUIET),
    Effect("noise.flicker=true", "read noise", 1, QUIET),
    Effect("noise.observation_time=1e4", "read noise", 1, FLICKER),
    Effect("noise.reference_low=100", "read noise", 1, FLICKER),
    Effect("noise.reference_high=1e8", "read noise", -1, FLICKER),
    Effect("noise.telegraph=true", "read noise", 1, QUIET),
    Effect("noise.traps=3", "read noise", 1, TELEGRAPH),
    Effect("noise.trap_ratio=5", "read noise", 1, TELEGRAPH),
    Effect("noise.trap_ln_sigma=1.5", "read noise", 1, TELEGRAPH),
    Effect("noise.dwell_median=1e-8", "read noise", -1, TELEGRAPH),
    Effect("noise.dwell_ln_sigma=9", "read noise", -1, TELEGRAPH),
    Effect("retention.age=1e7", "error", 1, QUIET),
    Effect("retention.images=1e9", "error", 1, KEPT),
    Effect("retention.rate=1e4", "error", 1, (*KEPT, "retention.age=1e5", "retention.relaxation=false")),
    Effect("retention.temperature=340", "error", 1, STILL),
    Effect("retention.run_temperature=340", "error", 1, QUIET),
    Effect("retention.adjusted=aged", "error", -1, (*STILL, "tile.adjust_outputs=true")),
    Effect("retention.refresh_images=1e4", "error", -1, READ),
    Effect("retention.refresh_change=1e-4", "error", -1, READ),
    Effect("retention.refresh_time=1e-3", "error", -1, STILL),
    Effect("retention.relaxation=false", "error", -1, AGED),
    Effect("wires.r_row=500", "error", 1, PLAIN_WIRES),
    Effect("wires.r_column=500", "error", 1, PLAIN_WIRES),
    Effect("wires.r_driver=2e3", "error", 1, PLAIN_WIRES),
    Effect("wires.r_sense=2e3", "error", 1, PLAIN_WIRES),
    Effect("wires.r_driver_far=10", "error", -1, (*PLAIN_WIRES, "wires.r_row=50", "wires.r_driver=10")),
    Effect("wires.r_sense_far=10", "error", -1, (*PLAIN_WIRES, "wires.r_column=50", "wires.r_sense=10")),
    Effect("tile.rows=8", "tiles", 1),
    Effect("tile.columns=4", "tiles", 1),
    Effect("tile.column_scales=false", "error", 1, COARSE),
    Effect("tile.trim_pairs=false", "error", 1, STUCK),
    Effect("tile.compensate_stuck=false", "error", 1, STUCK),
    Effect("tile.adjust_outputs=true", "error", -1, (*PLAIN_WIRES, "wires.r_driver=2e3")),
    Effect("tile.compensate_wires=false", "error", 1, (*QUIET, "wires.r_row=30", "wires.r_column=30")),
    Effect("tile.write=simulated", "error", 1, QUIET),
    Effect("tile.stuck_missed=0.5", "error", 1, STUCK),
    Effect("tile.r_join=1e4", "error", 1, PLAIN_WIRES),
    Effect("tile.gate_nodes=2", "distance from 24 gate nodes", 1, QUIET),
    Effect("tile.family_error=0", "matrices of tiles", 1),
    Effect("tile.encoding=offset", "energy of array", 1),
    Effect("tile.slices=2", "energy of adc", 1, ("tile.levels=4",)),
    Effect("tile.levels=4", "error", 1, QUIET),
    Effect("dac.gain_error=0.1", "error", 1, QUIET),
    Effect("dac.bits=3", "error", 1, QUIET),
    Effect("dac.coding=amplitude", "latency", -1),
    Effect("dac.polarity=alternating", "error", 1, FELT),  # the default cell dissolves faster than it grows
    Effect("dac.v_read=0.15", "energy of array", 1),
    Effect("dac.t_slot=2e-9", "latency", 1),
    Effect("adc.bits=3", "error", 1, QUIET),
    Effect("adc.columns=2", "area", 1),
    Effect("adc.sample_rate=5e7", "latency", 1),
    Effect("adc.margin=4", "error", 1, COARSE),
    Effect("adc.offset=3", "error", 1, COARSE),
    Effect("adc.circuit=ramp", "latency", 1),
    Effect("adc.clock=2e9", "latency", -1, ("adc.circuit=ramp",)),
    Effect("adc.gain_error=0.1", "error", 1, QUIET),
    Effect("adc.inl=4", "error", 1, EIGHT_BITS),
    Effect("adc.dnl=2", "error", 1, EIGHT_BITS),
    Effect("adc.v_swing=0.4", "error", 1, (*EIGHT_BITS, "adc.comparator_noise=0.02")),
    Effect("adc.c_sample=1e-18", "read noise", 1, EIGHT_BITS),
    Effect("adc.comparator_noise=0.02", "read noise", 1, EIGHT_BITS),
    Effect("adc.calibration=64", "error", -1, (*COARSE, "adc.offset=3")),
    Effect("gate_dac.bits=2", "error", 1, QUIET),
    Effect("gate_dac.t_settle=1e-6", "latency", 1),
    Effect("gate_dac.r_relative=1e6", "error", 1, (*QUIET, "cell.g_gate_leak=1e-8", "wires.r_row=5")),
    Effect("sense.v_supply=1.2", "energy of sensing", 1),
    Effect("sense.stage=class-a", "energy of sensing", 1),
    Effect("sense.quiescent=0.5", "energy of sensing", 1),
    Effect("sense.division=64", "area", -1),
    Effect("sense.v_swing=0.6", "area", -1),
    Effect("sense.capacitance=1e-2", "area", -1),
    Effect("sense.t_settle=1e-6", "latency", 1),
    Effect("sense.regulator=linear", "energy of supply", 1),
    Effect("sense.efficiency=0.5", "energy of supply", 1),
    Effect("mapping.layout=digital", "energy of adc", 1),
    Effect("mapping.layouts.mixed=digital", "energy of adc", 1),
    Effect("mapping.copies.conv=2", "area", 1),
    Effect("mapping.double_gates=false", "time between images", 1),
    Effect("mapping.channel_attention=gates", "energy of gates", 1),
    Effect("mapping.pipelined=false", "latency", 1),
    Effect("mapping.weight_energy=9", "weight of energy", 1),
    Effect("mapping.weight_latency=9", "weight of latency", 1),
    Effect("mapping.weight_area=9", "weight of area", 1),
    Effect("mapping.weight_error=9", "weight of error", 1),
    Effect("costs.node=45e-9", "energy of digital", 1),
    Effect("costs.adc_model=isaac", "energy of adc", 1),
    Effect("costs.pitch=160e-9", "area", 1),
    Effect("costs.v_pulse=1.2", "energy of drivers", 1),
    Effect("costs.c_wire=4e-10", "energy of drivers", 1),
    Effect("costs.reference_share=0.5", "energy of adc", 1),
    Effect("costs.row_timer=delay-line", "energy of drivers", -1),
    Effect("costs.e_delay=1e-12", "energy of drivers", 1, ("costs.row_timer=delay-line",)),
    Effect("costs.e_row_pulse=1e-12", "energy of drivers", 1),
    Effect("costs.external=inputs", "highest energy", 1),
    Effect("costs.e_external=4e-11", "highest energy", 1, ("costs.external=inputs",)),
    Effect("costs.stored_bits=16", "energy of writes and buffers", 1, REWRITTEN),
    Effect("costs.control_bits=64", "area", 1),
    Effect("costs.e_row_code=1e-12", "energy of drivers", 1, ("dac.coding=amplitude",)),
    Effect("costs.e_gate_dac=1e-12", "energy of gates", 1),
    Effect("costs.e_add=1e-12", "energy of digital", 1),
    Effect("costs.e_multiply=1e-12", "energy of digital", 1),
    Effect("costs.e_compare=1e-12", "energy between matrices", 1),
    Effect("costs.e_buffer_bit=1e-12", "energy of buffers", 1),
    Effect("costs.e_write=5e-12", "energy of writes", 1, REWRITTEN),
    Effect("costs.t_write=1e-3", "latency", 1, REWRITTEN),
    Effect("costs.endurance=1e6", "time until cells are worn out", 1, REWRITTEN),
    Effect("costs.wire_model=low-swing", "energy of wires", -1),
    Effect("costs.e_register=1e-12", "energy of clock", 1),
    Effect("costs.e_counter=1e-12", "highest energy", 1),
    Effect("costs.p_leak=50", "energy of leakage", 1),
    Effect("costs.t_digital=1e-7", "latency", 1),
    Effect(PART, "energy of parts", 1),
)  # fmt: skip

RESISTORS = ("cell.preset=resistor", "mapping.layout=digital")
#: further settings of a key and a chip on which it may not act; a run says so if and only if nothing moves
ALSO = (
    *((setting, ("adc.bits=ideal",)) for setting in (
        "adc.offset=1", "adc.margin=2", "adc.columns=4", "adc.v_swing=0.4", "adc.calibration=8", "adc.gain_error=0.1",
        "tile.family_error=0",
    )),
    *((setting, RESISTORS) for setting in (
        "gate_dac.bits=4", "gate_dac.t_settle=1e-6", "spread.gate_offset_cell=0.1", "tile.gate_nodes=4",
        "tile.family_error=0", "retention.age=1e6", "mapping.double_gates=false", "costs.e_gate_dac=1e-12",
    )),
    *((setting, ("dac.coding=amplitude",)) for setting in (
        "costs.row_timer=delay-line", "costs.e_delay=1e-12", "costs.e_row_pulse=1e-12",
    )),
    *((setting, QUIET) for setting in ("tile.compensate_wires=false", "tile.trim_pairs=false",
                                       "tile.compensate_stuck=false")),
    ("spread.write_error=0.1", ("spread.verified=false",)),
    ("cell.w_critical=0.1", ("cell.lifetime=inf", "retention.age=1e6")),
    ("retention.adjusted=aged", ("retention.age=1e6",)),
    ("cell.k_set=1e-4", ("retention.age=1e6",)),
    ("cell.k_reset=4e-3", ("dac.polarity=alternating", "retention.images=1e5")),
    ("cell.e_activation=0.5", ("retention.temperature=340", "retention.images=1e5")),
    ("retention.adjusted=aged", ("retention.images=1e5",)),
)  # fmt: skip

#: keys that need a file, or a network that clips its inputs; what they do is tested where these are read
ELSEWHERE = frozenset({"noise.table", "mapping.input_ranges"})
