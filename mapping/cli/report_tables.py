"""Tables of a report on the terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mapping import prices
from mapping.presentation.intervals import wilson
from mapping.presentation.quantities import si

if TYPE_CHECKING:
    from mapping.report.report import Report


def show(report: "Report", console: Console) -> None:
    """Print the layers and the totals; of an estimate without what only a run knows."""
    ran = report.seed is not None
    title = f"{report.model} on {report.chip}, {f'seed {report.seed}' if ran else 'estimated'}"
    table = Table(title=title, title_style="bold")
    for heading in ("layer", "kind"):
        table.add_column(heading)
    for heading in ("tiles", "used", *(("alone", "error") if ran else ()), "energy", "latency", "mm²"):
        table.add_column(heading, justify="right")
    for layer in report.layers:
        table.add_row(
            layer.name, layer.layout or layer.kind, str(layer.tiles),
            f"{layer.utilisation:.0%}", *((f"{layer.own_error:.1%}", f"{layer.error:.1%}") if ran else ()),
            si(layer.energy_J, "J"), si(layer.latency_s, "s"), f"{layer.area_m2 * 1e6:.2g}",
        )  # fmt: skip
    console.print(table)
    if report.fidelity:
        console.print(_levels(report))
    totals = Table.grid(padding=(0, 2))
    if report.accuracy_chip is not None and report.accuracy_exact is not None:
        totals.add_row(
            "accuracy",
            f"[bold]{report.accuracy_chip:.2%}[/bold] ({_interval(report.accuracy_chip, report.images)}) on the chip, "
            f"{report.accuracy_exact:.2%} ({_interval(report.accuracy_exact, report.images)}) computed exactly; "
            f"{report.images} images, 95 % intervals",
        )
    low, high = report.energy_band_J_per_image
    totals.add_row(
        "energy", f"[bold]{si(report.energy_J_per_image, 'J')}[/bold] per image "
        f"({si(low, 'J')} … {si(high, 'J')} over models of converters, wires and clocks)",
    )  # fmt: skip
    shares = report.energy_shares
    totals.add_row("", ", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share >= 5e-4))
    gpus = [each for each in report.comparison if each.kind == "gpu"]
    brain = next(each for each in report.comparison if each.kind == "brain")
    line = (
        report.operations_per_image / 2 * prices.BRAIN / report.energy_J_per_image if report.energy_J_per_image else 0.0
    )
    totals.add_row(
        "against",
        f"GPUs at their peak take {min(each.ratio[0] for each in gpus):.3g} to "
        f"{max(each.ratio[1] for each in gpus):.3g} times as much ({gpus[-1].name} … {gpus[0].name}); "
        f"the brain's 20 fJ for a multiplication {line:.2g} times "
        f"({brain.ratio[0]:.2g} … {brain.ratio[1]:.2g} for 2 to 200 fJ)",
    )
    totals.add_row(
        "latency",
        f"[bold]{si(report.latency_s_per_image, 's')}[/bold] for a single image; "
        f"{si(report.latency_whole_s_per_image, 's')} if every layer waited for its whole input",
    )
    pace = f", paced by {report.bottleneck}" if report.bottleneck is not None else ""
    totals.add_row("throughput", f"[bold]{report.images_per_s:,.0f}[/bold] images/s one after another{pace}")
    if report.lifetime_s is not None:
        writes = max(layer.writes_per_day for layer in report.layers)
        totals.add_row(
            "endurance", f"{writes:.3g} writes of a cell per day: worn out after {si(report.lifetime_s, 's')}"
        )
    low, high = report.tops_per_watt_band
    totals.add_row(
        "efficiency",
        f"[bold]{report.tops_per_watt:.3g} TOPS/W[/bold] ({low:.3g} … {high:.3g}) of "
        f"{report.operations_per_image / 1e6:.3g} M useful operations per image (2 per multiplication of the exact "
        f"network); {report.tops_per_watt_executed:.3g} of those that arrays execute; without periphery "
        f"{report.tops_per_watt_array:.3g} and {report.tops_per_watt_array_executed:.3g}",
    )
    totals.add_row(
        "area",
        f"{report.area_m2 * 1e6:.3g} mm² of arrays and their periphery",
    )
    totals.add_row("tiles", f"{report.tiles}")
    console.print(totals)


def _levels(report: "Report") -> Table:
    """What lies between the levels of fidelity."""
    table = Table(title="reads solved again, without noise", title_style="bold")
    table.add_column("matrices")
    for heading in ("reads", "arithmetic, of full scale", "wires", "bent laws"):
        table.add_column(heading, justify="right")
    for each in report.fidelity:
        table.add_row(
            each.layer, str(each.samples), f"{each.arithmetic:.1e}", f"{each.wires:.2%}", f"{each.nonlinear:.3%}"
        )
    return table


def _interval(share: float, count: int) -> str:
    """The 95 % interval of an accuracy over so many images, in percent."""
    low, high = wilson(share, count)
    return f"{100.0 * low:.1f} … {100.0 * high:.1f} %"
