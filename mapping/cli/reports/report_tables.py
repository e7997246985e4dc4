"""Tables of a report on the terminal."""

import math
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, RenderableType

from mapping import prices
from mapping.presentation.intervals import wilson
from mapping.presentation.outside_text import outside
from mapping.presentation.quantities import duration, operations, ratio, rounded, si
from mapping.presentation.wrapped_tables import Table
from mapping.report.keeping_texts import keeping_rows, state_of_chip

if TYPE_CHECKING:
    from mapping.report.report import Report

ERRORS = "own error: of the layer alone, on the inputs it got; total error: with the errors of the layers before it"


def show(report: "Report", console: Console) -> None:
    """Print the layers and the totals of a report; an estimate has neither errors nor accuracies."""
    console.print(_layers(report))
    if report.fidelity:
        console.print(_levels(report))
    console.print(_totals(report))


def _layers(report: "Report") -> Table:
    """One row for each layer; the layout is shown if a layer is dynamic."""
    made = "estimated" if report.seed is None else f"seed {report.seed}{', measured cells' if report.measured else ''}"
    title = outside(f"{report.model} on {report.chip}, {made}")
    ran = any(not math.isnan(layer.error) for layer in report.layers)  # a run on a GPU has no errors of layers
    table = Table(title=title, title_style="bold", box=box.SIMPLE_HEAD, padding=0, caption=ERRORS if ran else None)
    dynamic = any(layer.layout is not None for layer in report.layers)
    for heading in ("layer", "kind", *(("layout",) if dynamic else ())):
        table.add_column(heading, overflow="fold")
    for heading in ("tiles", "used", *(("own\nerror", "total\nerror") if ran else ()), "energy", "latency", "mm²"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in report.layers:
        table.add_row(
            outside(layer.name), layer.kind, *((layer.layout or "",) if dynamic else ()), str(layer.tiles),
            f"{layer.utilisation:.0%}", *((f"{layer.own_error:.1%}", f"{layer.error:.1%}") if ran else ()),
            si(layer.energy_J, "J"), si(layer.latency_s, "s"), rounded(layer.area_m2 * 1e6, 2),
        )  # fmt: skip
    return table


def _totals(report: "Report") -> RenderableType:
    totals = Table.grid(padding=(0, 2))
    totals.add_column(no_wrap=True)
    totals.add_column(overflow="fold")
    count, state = f"{report.images} images, 95 % intervals", state_of_chip(report)
    for what, chip, exact in (
        ("accuracy", report.accuracy_chip, report.accuracy_exact), ("top-5", report.top5_chip, report.top5_exact)
    ):  # fmt: skip
        if chip is not None and exact is not None:
            totals.add_row(
                what,
                f"[bold]{chip:.2%}[/bold] ({_interval(chip, report.images)}) on the chip {state}, "
                f"{exact:.2%} ({_interval(exact, report.images)}) computed exactly; "
                f"{'the label is among the five largest outputs' if what == 'top-5' else count}",
            )
    if report.rms_error_chip is not None and report.rms_error_exact is not None:
        totals.add_row(
            "error",
            f"[bold]{rounded(report.rms_error_chip)}[/bold] ({_ends(report.rms_error_chip_interval)}) on the chip "
            f"{state}, "
            f"{rounded(report.rms_error_exact)} ({_ends(report.rms_error_exact_interval)}) computed exactly: root mean "
            f"square of output − label; {count}",
        )
    low, high = report.energy_band_J_per_image
    totals.add_row(
        "energy", f"[bold]{si(report.energy_J_per_image, 'J')}[/bold] per image "
        f"({si(low, 'J')} … {si(high, 'J')} over models of its components)",
    )  # fmt: skip
    shares = report.energy_shares
    totals.add_row("", ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share >= 5e-4))
    totals.add_row("comparison", _comparison(report))
    latency, whole = si(report.latency_s_per_image, "s"), si(report.latency_whole_s_per_image, "s")
    waiting = f"; {whole} if every layer waited for its whole input" if whole != latency else ""
    totals.add_row("latency", f"[bold]{latency}[/bold] for a single image{waiting}")
    limit = f", limited by {outside(report.bottleneck)}" if report.bottleneck is not None else ""
    totals.add_row("throughput", f"[bold]{report.images_per_s:,.0f}[/bold] images/s one after another{limit}")
    if report.lifetime_s is not None:
        writes = max(layer.writes_per_day for layer in report.layers)
        totals.add_row(
            "endurance",
            f"{rounded(writes)} writes of a cell per day: its endurance is used up after {duration(report.lifetime_s)}",
        )
    if report.keeping is not None:
        for name, text in keeping_rows(report, report.keeping):
            totals.add_row(name, text)
    low, high = report.tops_per_watt_band
    totals.add_row(
        "efficiency",
        f"[bold]{rounded(report.tops_per_watt)} TOPS/W[/bold] ({rounded(low)} … {rounded(high)}) for "
        f"{operations(report.operations_per_image)} useful operations per image (2 per multiplication of the "
        f"exact network), {rounded(report.tops_per_watt_executed)} TOPS/W for the operations that the arrays execute; "
        f"cells and wires alone, without periphery: {rounded(report.tops_per_watt_array)} and "
        f"{rounded(report.tops_per_watt_array_executed)} TOPS/W",
    )
    if report.calibration_J is not None and report.calibration_s is not None:
        totals.add_row(
            "calibration",
            f"{si(report.calibration_J, 'J')} and {duration(report.calibration_s)}, once, for the converters' offsets",
        )
    totals.add_row("area", f"{rounded(report.area_m2 * 1e6)} mm² of arrays and their periphery")
    totals.add_row("tiles", f"{report.tiles}")
    if report.programming is not None:
        totals.add_row("programming", _programming(report.programming))
    return totals


def _programming(taken: dict[str, float]) -> str:
    """What the simulated write took and left."""
    cells = taken["cells"] - taken["stuck"]
    return (
        f"simulated: {taken['pulses']:,} pulses for {cells:,} cells ({ratio(taken['pulses'], cells):.1f} each), "
        f"{si(taken['energy_J'], 'J')}, {duration(taken['time_s'])} array after array and "
        f"{duration(taken['longest_array_s'])} for all at once; {ratio(taken['accepted'], cells):.1%} within the "
        f"tolerance; rms error {taken['error_rms']:.2%} of g_max, {taken['error_rms_drawn']:.2%} as drawn"
    )


def _interval(accuracy: float, count: int) -> str:
    """Format the 95 % interval of an accuracy over so many images, in percent."""
    low, high = wilson(accuracy, count)
    return f"{100.0 * low:.1f} … {100.0 * high:.1f} %"


def _ends(interval: tuple[float, float] | None) -> str:
    """Format the ends of an interval."""
    return "" if interval is None else f"{rounded(interval[0])} … {rounded(interval[1])}"


def _comparison(report: "Report") -> str:
    """Energy of GPUs and of the brain for the same operations, relative to this chip."""
    gpus = [each for each in report.comparison if each.kind == "gpu"]
    brain = next(each for each in report.comparison if each.kind == "brain")
    typical = ratio(report.operations_per_image / 2 * prices.BRAIN, report.energy_J_per_image)
    return (
        f"GPUs at their peak take {rounded(min(each.ratio[0] for each in gpus))} to "
        f"{rounded(max(each.ratio[1] for each in gpus))} times this energy ({gpus[-1].name} … {gpus[0].name}); the "
        f"brain's 20 fJ per multiplication would be {typical:.2g} times this energy ({brain.ratio[0]:.2g} … "
        f"{brain.ratio[1]:.2g} for 2 to 200 fJ)"
    )


def _levels(report: "Report") -> Table:
    """Differences between the levels of fidelity, layer by layer."""
    table = Table(
        title="random reads solved again, without noise", title_style="bold", box=box.SIMPLE_HEAD, padding=0,
        caption="arithmetic: largest difference between the run and the reference solver, relative to the converter's "
        "range; IR drop and nonlinearity: root mean square change of the currents, relative to them",
    )  # fmt: skip
    table.add_column("layer", overflow="fold")
    for heading in ("reads", "arithmetic", "IR drop", "nonlinearity"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in report.fidelity:
        table.add_row(
            outside(each.layer), str(each.samples), f"{each.arithmetic:.1e}", f"{each.wires:.2%}",
            f"{each.nonlinear:.3%}",
        )  # fmt: skip
    return table
