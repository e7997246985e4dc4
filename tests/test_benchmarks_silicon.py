"""Prices against published and measured chips, through the code that prices every network."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchmarks import silicon
from crossbar.prices.adc_models import adc_flash
from crossbar.prices.catalogue import line, silicon_gate_line
from mapping.hardware.description_files import load_hardware

VGG8, RESNET18 = "neurosim_vgg8", "neurosim_resnet18"
F, WIRE_WIDTH = 22e-9, 40e-9  # [m] node and wire, NeuroSim V1.3, Param.cpp
CELL = (4, 12)  # height and width of a 1T1R cell in F, same file
R_ON, R_OFF, V_READ, V_DD, V_ACCESS = 6e3, 900e3, 0.5, 0.85, 1.1  # same file and Technology.cpp
R_WIRE = 4.03e-8 / (WIRE_WIDTH**2 * 1.9)  # [ohm/m] resistivity and aspect ratio of a 40 nm wire, Param.cpp
C_WIRE, SIDE = 2e-10, 128  # [F/m], SubArray.cpp; cells of an array's side


def totals(folder):
    return silicon.network_facts(folder), silicon.totals(folder)


# ---- the chip description of NeuroSim ----


@dataclass(frozen=True)
class Transistors:
    """NeuroSim V1.3's low-power transistors at 22 nm (Technology.cpp, constant.h, formula.cpp), per metre of width."""

    gate: float = 1.2 * 5.245e-10 + 8.004e-10  # [F/m] ideal gate, a fifth of it as overlap, fringe
    current: float = 791.9  # [A/m] of an n-channel transistor, on
    resistance: float = 1.77  # factor on V_dd over current, CACTI
    linear: float = 0.2  # of that resistance in the linear region
    pair: float = 20.9 * F  # [m] widths of an inverter's two transistors, which fill a cell of 28 F
    junction: tuple[float, float, float] = (1e-3, 2.5e-10, 0.5e-10)  # [F/m², F/m, F/m] bottom, sidewall, channel

    @property
    def drain(self):
        """Capacitance [F] of the drains of an inverter or transmission gate, contacts of 2.8 F."""
        bias = 1.0 + V_DD / 0.9
        bottom, side, channel = (c / bias**power for c, power in zip(self.junction, (0.5, 0.33, 0.33), strict=True))
        contact = 2.8 * F
        return contact * self.pair * bottom + (4 * contact + self.pair) * side + self.pair * channel

    @property
    def input(self):
        """Capacitance [F] of an inverter's input, or of a transmission gate's two gates."""
        return self.gate * self.pair

    @property
    def access(self):
        """Width [m] of the transistor in a cell that adds a quarter of R_ON."""
        return self.resistance * V_DD / self.current * self.linear / (R_ON / 4)

    @property
    def flip_flop(self):
        """Energy [J] of one clock of a flip-flop that passes a bit: clock inverters and gates, then the data path."""
        clock = 4 * (self.input + self.drain) + 2 * self.input
        data = (3 * self.drain + self.input) + 2 * self.drain + (self.input + self.drain)
        return (clock + data) * V_DD**2

    @property
    def row(self):
        """Energy [J] of one driven row: its line with the gates of its cells, and the three switches before it."""
        wire = SIDE * CELL[1] * WIRE_WIDTH * C_WIRE
        word = line("word line", wire + SIDE * self.gate * self.access, V_DD, F).energy.nominal
        return word + self.drain * (2 * V_ACCESS**2 + 5 * V_READ**2) + 3 * self.input * V_DD**2

    @property
    def column(self):
        """Energy [J] of one column's bit line, charged to the read voltage for a conversion."""
        return line("bit line", SIDE * CELL[0] * WIRE_WIDTH * C_WIRE, V_READ, F).energy.nominal


def test_neurosim__parts_follow_from_its_transistors():
    """The energies in the description are those of NeuroSim's transistors and wires."""
    chip, transistors = load_hardware(silicon.CHIPS / "neurosim.toml"), Transistors()
    energies = {name: part.component.energy.nominal for name, part in chip.costs.parts.items()}
    assert energies["word_line"] == pytest.approx(transistors.row, rel=1e-4, abs=0.0)
    assert energies["bit_line"] == pytest.approx(transistors.column, rel=1e-4, abs=0.0)
    assert energies["flip_flops"] == pytest.approx(SIDE * transistors.flip_flop, rel=1e-4, abs=0.0)
    assert energies["comparators"] == pytest.approx(adc_flash(32, 22.0, 1e-15), rel=1e-4, abs=0.0)
    drawn = adc_flash(32, 22.0, 1e-3) - adc_flash(32, 22.0, 1e-15)
    assert 1e-3 * chip.dac.v_read**2 * chip.dac.t_slot == pytest.approx(drawn, rel=2e-3, abs=0.0)
    wires = (SIDE + 1) / 2 * (CELL[0] + CELL[1]) * WIRE_WIDTH * R_WIRE
    for held, ohms in ((chip.cell.g_min, R_OFF), (chip.cell.g_max, R_ON)):
        assert held == pytest.approx(1 / (ohms + R_ON / 4 + wires), rel=1e-4, abs=0.0)
    assert chip.costs.pitch**2 == pytest.approx(CELL[0] * CELL[1] * F**2, rel=1e-4, abs=0.0)


# ---- NeuroSim: what is exact ----


@pytest.mark.parametrize("folder", [VGG8, RESNET18])
def test_neurosim__array_area_operations_and_efficiency_are_exact(folder):
    """Six printed digits are all there are; nothing is fitted."""
    facts, printed = totals(folder)
    area, operations = sum(each.area for each in facts), sum(each.counted for each in facts)
    assert area == pytest.approx(printed["array_area"], rel=3e-5, abs=0.0)  # five digits
    assert operations == pytest.approx(printed["tops"] * 1e12 * printed["latency"], rel=1e-5, abs=0.0)
    assert silicon.efficiency(operations, printed) == pytest.approx(printed["tops_per_watt"], rel=1e-5, abs=0.0)


def test_vgg8__operations_to_the_last():
    facts, _ = totals(VGG8)
    assert sum(each.counted for each in facts) == 1_231_835_136
    assert sum(each.executed for each in facts) == pytest.approx(2 * 445.03e6, rel=1e-5, abs=0.0)


def test_vgg8__converter_clocks_are_exact():
    """3600 in the first layer and 30936 in all, from positions without padding; the printed time has six digits."""
    facts, printed = totals(VGG8)
    clocks = sum(each.clocks for each in facts)
    assert (facts[0].clocks, clocks) == (pytest.approx(3600, rel=1e-9), pytest.approx(30936, rel=1e-9))
    assert printed["first_adc_latency"] / printed["clock"] == pytest.approx(3600, rel=1e-5, abs=0.0)
    assert printed["adc_latency"] / printed["clock"] == pytest.approx(30936, rel=1e-5, abs=0.0)


def test_resnet18__converter_clocks_of_two_layers_are_exact():
    facts, printed = totals(RESNET18)
    for at, name in enumerate(("first_adc_latency", "second_adc_latency")):
        assert facts[at].clocks == pytest.approx(printed[name] / printed["clock"], rel=1e-5, abs=0.0)


@pytest.mark.parametrize(("folder", "inflation", "corrected"), [(VGG8, 1.384, 18.58), (RESNET18, 1.909, 10.65)])
def test_neurosim__efficiency_of_the_operations_that_are_executed(folder, inflation, corrected):
    """Stride and padding are ignored where operations are counted and not where energy is."""
    facts, printed = totals(folder)
    counted, executed = sum(each.counted for each in facts), sum(each.executed for each in facts)
    assert counted / executed == pytest.approx(inflation, rel=5e-4, abs=0.0)
    assert silicon.efficiency(executed, printed) == pytest.approx(corrected, rel=5e-4, abs=0.0)


# ---- NeuroSim: what is predicted ----


def test_resnet18__energies_of_the_layers_are_predicted():
    """21 layers from mean data, without a fitted constant: 5 % in the mean, 10 % at worst."""
    predicted, printed = silicon.resnet_energies()
    assert len(printed) == 21
    assert printed.sum() == pytest.approx(silicon.totals(RESNET18)["analog_energy"], rel=1e-5, abs=0.0)
    off = np.abs(predicted / printed - 1)
    assert off.mean() < 0.03
    assert off.max() < 0.08
    assert predicted.sum() == pytest.approx(printed.sum(), rel=0.03, abs=0.0)


def test_resnet18__data_decide():
    """With the mean over layers in place of each one's own inputs the same model is out by tens of percent."""
    layers = silicon.rows(f"{RESNET18}/layers.csv")
    mean = np.mean([each["driven"] for each in layers])
    some = [5, 7, 16, 18, 20]  # small layers, among the ones furthest from the mean
    blind = np.array([silicon.analog_energy(layers[i], silicon.Recorded(mean, 1, 1.0)) for i in some])
    printed = silicon.resnet_energies()[1][some]
    assert np.abs(blind / printed - 1).mean() > 0.2
    assert np.abs(blind / printed - 1).max() > 0.35
    full = silicon.analog_energy(layers[20], silicon.Recorded(layers[20]["driven"], 1, 1.0))
    half = silicon.analog_energy(layers[20], silicon.Recorded(layers[20]["driven"], 1, 0.5))
    assert half < 0.8 * full  # conductance decides as well


def test_filled__is_the_mean_conductance():
    """Cells all at the top or all at the bottom: every pair has one at the top, twice over, or none."""
    assert silicon.filled([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.0, abs=1e-6)
    assert silicon.filled([0.0, 0.0, 0.0, 1.0]) == 1.0  # two at the top are one at most: the model's limit
    assert silicon.filled([0.75, 0.0, 0.0, 0.25]) == pytest.approx(0.5, rel=1e-6)


# ---- NeuRRAM ----


def measured_splits():
    return [each for each in silicon.silicon() if each[0]["pulses_fJ"] is not None]


def test_neurram__the_split_is_per_operation():
    """Twice its sum is the energy of a multiplication, which the efficiency tells as well."""
    off = []
    for point, _ in measured_splits():
        split = point["word_lines_fJ"] + point["neurons_fJ"] + point["pulses_fJ"]
        off.append(abs(1000.0 / split / point["tops_per_watt"] - 1.0))
    assert sorted(off)[-2] < 0.02
    assert max(off) < 0.12  # at 6 input bits the source contradicts itself


def test_neurram__one_constant_is_fitted():
    """The energy of a pulse is the mean of the measured ones; it takes no part in the other two thirds of the split."""
    bits = [silicon.one_pass(int(p["output_bits"]), int(p["input_bits"]), 2).bits for p, _ in measured_splits()]
    each = [p["pulses_fJ"] * 1e-15 * silicon.CORE / n for (p, _), n in zip(measured_splits(), bits, strict=True)]
    parts = load_hardware("neurram_like").costs.parts
    assert parts["input_pulse"].component.energy.nominal == pytest.approx(np.mean(each), rel=1e-3, abs=0.0)
    line = silicon_gate_line(silicon.CORE).energy.nominal
    assert parts["word_line"].component.energy.nominal == pytest.approx(line, rel=1e-3, abs=0.0)


def test_neurram__efficiency_of_ten_points():
    """The core alone, and with all that this chip has around it: buffers, registers, wires, leakage."""
    points = silicon.silicon()
    assert len(points) == 10
    core = np.array([core.tops_per_watt / point["tops_per_watt"] - 1 for point, core in points])
    whole = np.array([core.tops_per_watt_whole / point["tops_per_watt"] - 1 for point, core in points])
    assert np.abs(core).mean() < 0.06
    assert np.abs(core).max() < 0.12
    assert np.abs(whole).max() < 0.25
    assert np.all(whole < core)


def test_neurram__split_within_a_quarter():
    splits = measured_splits()
    assert len(splits) == 8
    for point, core in splits:
        measured = np.array([point["word_lines_fJ"], point["neurons_fJ"], point["pulses_fJ"]]) * 1e-15
        np.testing.assert_allclose(core.split, measured, rtol=0.16)


def test_neurram__throughput_is_predicted():
    """From three published times alone."""
    for point, core in silicon.silicon():
        assert core.tops == pytest.approx(point["tops"], rel=0.1, abs=0.0)


@pytest.mark.parametrize(
    ("output_bits", "input_bits", "phases", "wanted"),
    [
        (3, 1, 2, silicon.Pass(1, (1,), 1, 3)),
        (6, 4, 2, silicon.Pass(3, (3,), 7, 6)),
        (7, 5, 2, silicon.Pass(4, (2, 2), 6, 12)),
        (10, 8, 2, silicon.Pass(7, (4, 3), 22, 16)),
        (8, 6, 1, silicon.Pass(5, (5,), 31, 8)),
    ],
)
def test_neurram__steps_by_hand(output_bits, input_bits, phases, wanted):
    assert silicon.one_pass(output_bits, input_bits, phases) == wanted


def test_neurram__bundled_chip_is_the_last_point():
    done = silicon.one_pass(8, 6, 1)
    usual, point = load_hardware("neurram_like"), silicon.neurram(done, 8)
    assert replace(point, adc=usual.adc, dac=usual.dac) == usual
    assert point.adc.sample_rate == pytest.approx(usual.adc.sample_rate, rel=1e-3)
    assert point.dac.t_slot == pytest.approx(usual.dac.t_slot, rel=1e-9)


# ---- predictions ----


def test_predictions__are_within_a_factor_of_five_and_say_so():
    """Two chips whose circuits are not known to the model: what its prices are worth on another chip."""
    found = silicon.predictions()
    assert [name for name, *_ in found] == ["hermes", "liu_2020"]
    for _, measured, ours, low, high in found:
        assert low < ours < high
        assert 0.2 < ours / measured < 5.0
