"""Prices against published and measured chips: VGG8 and ResNet18 of NeuroSim, and NeuRRAM."""

import numpy as np
import pytest

from benchmarks import silicon

VGG8, RESNET18 = "neurosim_vgg8", "neurosim_resnet18"


def both(folder):
    return silicon.rows(f"{folder}/layers.csv"), silicon.totals(folder)


# ---- NeuroSim: what is exact ----


@pytest.mark.parametrize("folder", [VGG8, RESNET18])
def test_neurosim__array_area_operations_and_efficiency_are_exact(folder):
    """Six printed digits are all there are; nothing is fitted."""
    layers, printed = both(folder)
    digits = 1e-5
    assert silicon.array_area(layers) == pytest.approx(printed["array_area"], rel=3e-5, abs=0.0)  # five digits
    operations = silicon.counted_operations(layers)
    assert operations == pytest.approx(printed["tops"] * 1e12 * printed["latency"], rel=digits, abs=0.0)
    assert silicon.efficiency(operations, printed) == pytest.approx(printed["tops_per_watt"], rel=digits, abs=0.0)


def test_vgg8__operations_to_the_last():
    layers, _ = both(VGG8)
    assert silicon.counted_operations(layers) == 1_231_835_136
    assert silicon.executed_operations(layers) == pytest.approx(2 * 445.03e6, rel=1e-5, abs=0.0)


def test_vgg8__converter_clocks_are_exact():
    """3600 in the first layer and 30936 in all, from positions without padding; the printed time has six digits."""
    layers, printed = both(VGG8)
    assert silicon.positions(layers[0]) == 900
    assert silicon.adc_cycles(layers[:1]) == 3600
    assert silicon.adc_cycles(layers) == 30936
    assert printed["first_adc_latency"] / printed["clock"] == pytest.approx(3600, rel=1e-5, abs=0.0)
    assert printed["adc_latency"] / printed["clock"] == pytest.approx(30936, rel=1e-5, abs=0.0)


def test_resnet18__converter_clocks_of_two_layers_are_exact():
    layers, printed = both(RESNET18)
    for at, name in enumerate(("first_adc_latency", "second_adc_latency")):
        found = silicon.adc_cycles(layers[at : at + 1])
        assert found == pytest.approx(printed[name] / printed["clock"], rel=1e-5, abs=0.0)


@pytest.mark.parametrize(("folder", "inflation", "corrected"), [(VGG8, 1.384, 18.58), (RESNET18, 1.909, 10.65)])
def test_neurosim__efficiency_of_the_operations_that_are_executed(folder, inflation, corrected):
    """Stride and padding are ignored where operations are counted and not where energy is."""
    layers, printed = both(folder)
    counted, executed = silicon.counted_operations(layers), silicon.executed_operations(layers)
    assert counted / executed == pytest.approx(inflation, rel=5e-4, abs=0.0)
    assert silicon.efficiency(executed, printed) == pytest.approx(corrected, rel=5e-4, abs=0.0)


# ---- NeuroSim: what is predicted ----


def test_resnet18__energies_of_the_layers_are_predicted():
    """21 layers from mean data, without a fitted constant: 5 % in the mean, 10 % at worst."""
    predicted, printed = silicon.resnet_energies()
    assert len(printed) == 21
    assert printed.sum() == pytest.approx(silicon.totals(RESNET18)["analog_energy"], rel=1e-5, abs=0.0)
    off = np.abs(predicted / printed - 1)
    assert off.mean() < 0.05
    assert off.max() < 0.10
    assert predicted.sum() == pytest.approx(printed.sum(), rel=0.05, abs=0.0)


def test_resnet18__data_decide():
    """With the mean over layers in place of each one's own inputs the same model is out by tens of percent."""
    layers = silicon.rows(f"{RESNET18}/layers.csv")
    shares = np.full(4, 0.25)
    mean = np.mean([each["driven"] for each in layers])
    blind = np.array([silicon.analog_energy({**each, "driven": mean}, shares, 1) for each in layers])
    printed = silicon.resnet_energies()[1]
    assert np.abs(blind / printed - 1).mean() > 0.2
    assert np.abs(blind / printed - 1).max() > 0.5
    nothing = {**layers[5], "driven": 0.0}
    floor = silicon.analog_energy(nothing, shares, 8)
    assert 0.0 < floor < 0.5 * silicon.analog_energy(layers[5], shares, 1)


def test_resnet18__levels_of_the_cells_matter_little():
    layers = silicon.rows(f"{RESNET18}/layers.csv")
    printed = silicon.resnet_energies()[1]
    even = np.array([silicon.analog_energy(each, np.full(4, 0.25), int(i > 0)) for i, each in enumerate(layers)])
    assert np.abs(even / printed - 1).mean() < 0.05
    assert np.abs(even / printed - 1).max() < 0.10
    shares = [each["share"] for each in silicon.rows(f"{RESNET18}/levels.csv")]
    assert sum(shares) == pytest.approx(1.0, rel=1e-3, abs=0.0)


# ---- NeuRRAM ----


def measured_splits():
    return [each for each in silicon.silicon() if each[0]["pulses_fJ"] is not None]


def test_neurram__the_split_is_per_operation():
    """Twice its sum is the energy of a multiplication, which the efficiency tells as well."""
    off = []
    for point, _, _, _ in measured_splits():
        split = point["word_lines_fJ"] + point["neurons_fJ"] + point["pulses_fJ"]
        off.append(abs(1000.0 / split / point["tops_per_watt"] - 1.0))
    assert sorted(off)[-2] < 0.02
    assert max(off) < 0.12  # at 6 input bits the source contradicts itself


def test_neurram__one_constant_is_fitted():
    """The energy of a pulse is the mean of the measured ones; it takes no part in the other two thirds of the split."""
    bits = [silicon.one_pass(int(p["output_bits"]), int(p["input_bits"]), 2).bits for p, *_ in measured_splits()]
    each = [p["pulses_fJ"] * 1e-15 * silicon.OPERATIONS / silicon.CORE / n
            for (p, *_), n in zip(measured_splits(), bits, strict=True)]  # fmt: skip
    assert pytest.approx(np.mean(each), rel=1e-3, abs=0.0) == silicon.PULSE


def test_neurram__efficiency_of_ten_points():
    points = silicon.silicon()
    assert len(points) == 10
    off = np.array([abs(efficient / point["tops_per_watt"] - 1) for point, _, efficient, _ in points])
    assert off.mean() < 0.15
    assert off.max() < 0.15


def test_neurram__split_within_a_quarter():
    splits = measured_splits()
    assert len(splits) == 8
    for point, split, _, _ in splits:
        measured = np.array([point["word_lines_fJ"], point["neurons_fJ"], point["pulses_fJ"]]) * 1e-15
        np.testing.assert_allclose(split, measured, rtol=0.25)


def test_neurram__throughput_is_predicted():
    """From three published times alone."""
    for point, _, _, fast in silicon.silicon():
        assert fast == pytest.approx(point["tops"], rel=0.1, abs=0.0)


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


def test_script__prints_every_table(capsys):
    silicon.main()
    text = capsys.readouterr().out
    for words in ("neurosim_vgg8", "neurosim_resnet18", "NeuRRAM", "18.582", "10.647"):
        assert words in text
