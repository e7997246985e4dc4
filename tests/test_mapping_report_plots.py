"""All plot functions of the three packages: they draw on given axes and return them, or make their own."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import crossbar.plots
import devices.plots
import mapping.report.plots
import mapping.studies.plots
from crossbar import Array, Wires, solve
from devices import AdaptiveMemristor
from devices.measurements.curves import Curves
from devices.measurements.fitting import fit_cell
from devices.measurements.law_fitting import fit_law
from mapping.hardware.description import Hardware
from mapping.inference.running import run
from mapping.inference.worst_array import close_up
from mapping.networks import Attention, DynamicConv, GlobalAveragePool, Network
from mapping.report.pricing import price
from mapping.studies.results import HEAD, METRICS, TAIL, Results, effects
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

MODULES = (crossbar.plots, devices.plots, mapping.report.plots, mapping.studies.plots)
PUBLIC = {
    f"{module.__name__}.{name}": function
    for module in MODULES
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}
PLOTS = sorted(name for name in PUBLIC if name.rpartition(".")[2].startswith("plot_"))
HELD = ("r_series", "g_leak", "v_dirac", "c_gate", "n_0", "gain_min", "e_half", "ideality")  # of the fitted cell


@pytest.fixture(scope="module")
def arguments():
    """What each function draws, by its name; what is asked for by a plot is made once for all."""
    rng = np.random.default_rng(5)
    g, v = rng.uniform(1e-5, 1e-4, (3, 4)), rng.uniform(0.0, 0.2, (1, 3))
    wires = Wires(5.0, 3.0, 50.0, 20.0)
    solution = solve(g, v, wires)
    cell = AdaptiveMemristor()
    array = Array(cell, np.full((3, 4), 2e-5))
    gate = Attention(rng.normal(size=(2, 2)), None, rng.normal(size=(2, 2)), None)
    layers = (
        DynamicConv("mixed", ("input",), rng.normal(size=(2, 3, 2, 1, 1)), None, (1, 1), (0, 0), (1, 1), 1, gate),
        GlobalAveragePool("pool", ("mixed",)),
    )
    images = rng.random((4, 2, 3, 3))
    network = Network("small", (2, 3, 3), tuple("abc"), layers)
    result = run(write(compile_network(network, Hardware(), images), 1), images)
    report, close = price(result, np.zeros(4, dtype=int)), close_up(result)
    table = study()
    fit = fitted()
    return {
        "plot_map": (g, "conductance", "S"), "plot_cell_voltage": (solution,), "plot_cell_current": (g, solution),
        "plot_current_error": (g, v, solution), "plot_gate_voltage": (array, 1.0),
        "plot_crossbar": (g, v, wires, solution),
        "plot_family": (cell,), "plot_transfer": (cell,), "plot_loop": (cell,), "plot_pulses": (cell,),
        "plot_read_noise": (cell,), "plot_retention": (cell,), "plot_curves": (fit,), "plot_residuals": (fit,),
        "plot_points": (fit.curves,),
        "plot_laws": ([fit_law(fit.curves.where(fit.curves.state == 0), "sinh")],),
        "plot_energy": (report,), "plot_error": (report,), "plot_latency": (report,), "plot_schedule": (report,),
        "plot_attention": (result.layers[0],), "plot_drop": (close,), "plot_gates": (close,),
        "plot_tornado": (effects(table),), "plot_response": (table, "adc.bits"),
    }  # fmt: skip


def study():
    columns = (*HEAD, "adc.bits", *METRICS, *TAIL)
    empty = dict.fromkeys(columns)
    rows = [
        empty | {"point": bits, "seed": seed, "adc.bits": bits, "accuracy_chip": 0.1 * bits + 0.01 * seed}
        for bits in (4, 6, 8)
        for seed in (0, 1)
    ]
    return Results(columns, tuple(rows))


def fitted():
    """A fit of exact curves, with all but two parameters held."""
    cell = AdaptiveMemristor()
    v, state = (each.ravel() for each in np.meshgrid(np.linspace(-0.3, 0.3, 21), [0, 1]))
    w = np.where(state == 0, 0.2, 0.9)
    current = cell.current(w, 2.0, v)[0] * (1 + 1e-3 * np.random.default_rng(1).standard_normal(v.size))
    curves = Curves(v, current, np.full(v.size, 2.0), state, state)
    held = {name: getattr(cell, name) for name in HELD}
    return fit_cell(curves, held, start=cell)


def test_arguments__cover_every_plot(arguments):
    assert {name.rpartition(".")[2] for name in PLOTS} == set(arguments)


@pytest.mark.parametrize("name", PLOTS)
def test_plot__takes_axes_and_gives_them_back(name, arguments):
    function = PUBLIC[name]
    parameter = inspect.signature(function).parameters["ax"]
    assert parameter.default is None
    assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = arguments[name.rpartition(".")[2]]
    figure = Figure()
    ax, other = figure.subplots(1, 2)
    assert function(*given, ax=ax) is ax
    assert ax.has_data()
    assert not other.has_data()
    own = function(*given)
    assert isinstance(own, Axes)
    assert own.figure is not figure
    assert not plt.get_fignums()


def test_other_functions__give_whole_figures():
    """What composes several axes is called …_figure."""
    others = {name.rpartition(".")[2]: function for name, function in PUBLIC.items() if name not in PLOTS}
    for name, function in others.items():
        assert name.endswith("_figure"), name
        assert inspect.signature(function).return_annotation == "Figure"
