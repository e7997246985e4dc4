"""Pricing: activity counts of a run or an estimate, and component costs, become a report."""

import importlib.metadata
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from crossbar.prices.costs import Costs
from crossbar.tiles.activity import Activity
from devices.aliases import FloatArray, IntArray
from mapping.chips.read_limits import LIMIT, followed_cells, layers_to
from mapping.hardware.alternatives import compensations
from mapping.inference.scoring import scores
from mapping.inference.traces import LayerTrace, RunResult
from mapping.networks.layers.arithmetic import Scale
from mapping.placement.gated_layers import kind_of
from mapping.placement.program import Program
from mapping.prices.area import AREAS, arrays, layer_area
from mapping.prices.digital_counts import work_of
from mapping.prices.estimates import estimate, histograms
from mapping.prices.offset_calibration import offset_calibration
from mapping.prices.overhead import overheads
from mapping.prices.own_parts import added, part_reports
from mapping.prices.refresh import Rewriting, keeping, rewriting
from mapping.prices.timing import Schedule, phases, schedule
from mapping.prices.yardsticks import compare, measurements
from mapping.report.report import Report
from mapping.report.values import COMPONENTS, LayerReport

DAY = 86_400.0  # [s]


def price(result: RunResult, labels: IntArray | FloatArray | None = None, costs: Costs | None = None) -> Report:
    """Price a run.

    labels: (b,) classes of the images, for the accuracies, or floats (b, outputs) where the outputs are numbers, for
    their errors.  costs: used instead of the chip description's.
    """
    held = result.chip.program if costs is None else result.chip.program.priced(costs)
    report = _report(held, result.layers, len(result.logits), result.chip.seed, result.seed)
    measured = None if result.chip.measured is None else str(result.chip.measured)
    taken = result.chip.programming
    programming = None if taken is None else taken.values()
    return replace(report, measured=measured, programming=programming, **vars(scores(result, labels)))


def price_estimate(program: Program, images: FloatArray, costs: Costs | None = None) -> Report:
    """Price images (b, c, h, w) on a chip without writing or running it, from histograms of the layers' inputs.

    Errors are nan, seeds and accuracies None; energies are within 5 % of a run's (docs/equations/costs.md eq. 19).
    costs: used instead of the chip description's.
    Raises ParameterError for images of another shape, or none.
    """
    found = histograms(program, images)
    done = estimate(program, found)
    traces = []
    for layer in program.folded.layers:
        first = next((found[matrix.name] for matrix in program.matrices.get(layer.name, ())), None)
        attention, scales = (None, None) if first is None else (first.attention, first.scales)
        activity = done.get(layer.name, Activity())
        traces.append(LayerTrace(layer.name, kind_of(layer), math.nan, math.nan, activity, attention, scales))
    held = program if costs is None else program.priced(costs)
    return _report(held, traces, len(images))


def _report(
    program: Program,
    traces: Sequence[LayerTrace],
    images: int,
    seed: int | None = None,
    seed_noise: int | None = None,
) -> Report:
    """Price the activity of the layers."""
    hardware, costs = program.hardware, program.hardware.costs
    placed = [trace for trace in traces if program.of(trace.name)]
    times = {trace.name: phases(program, trace.name, costs) for trace in placed}
    work, around = work_of(program.folded, hardware.value_bits), hardware.periphery
    parts = {trace.name: added(program, costs, trace.name, work[trace.name] + trace.activity) for trace in traces}
    for name, held in times.items():
        held["read"] = max(held["read"], parts[name].time) + parts[name].behind
    digital = {name: each.time + each.behind for name, each in parts.items()}
    plan = schedule(program, costs, times, digital)
    followed = followed_cells(program)
    again = rewriting(program, costs, plan.interval, followed)
    pace = plan.interval + again.seconds_per_image
    felt = layers_to(followed, LIMIT)
    waiting = schedule(program, costs, times, digital, pipelined=False)
    area_of = {
        trace.name: layer_area(program, trace.name, costs) | {"parts": parts[trace.name].area} for trace in placed
    }
    whole = {name: sum(parts.values()) for name, parts in area_of.items()}
    beside = overheads(program, costs, {trace.name: trace.activity for trace in placed}, times, whole, pace)
    done = {trace.name: trace.activity + beside[trace.name] + again.activity(trace.name) for trace in placed}
    leaking = {name: each.leakage * pace for name, each in parts.items()}
    layers = tuple(
        _layer(
            trace,
            program,
            costs,
            done[trace.name],
            times[trace.name],
            plan,
            area_of[trace.name],
            leaking[trace.name],
            _writes_per_day(program, trace.name, again, pace),
            felt[trace.name],
        )
        for trace in placed
    )
    rest = [trace for trace in traces if not program.of(trace.name)]
    totals = {name: sum(layer.energy_by_component_J[name] for layer in layers) for name in COMPONENTS}
    between = sum((sum(costs.energies(work[trace.name], around).values()) + leaking[trace.name] for trace in rest), 0.0)
    energy = sum(totals.values()) + between
    low, high = costs.bounds(sum(done.values(), Activity()), around)
    others = sum((work[trace.name] for trace in rest), Activity())
    least, most = costs.bounds(others, around)
    leaked = sum(leaking.values())
    band = (least + low + leaked, most + high + leaked)
    executed = sum(
        2 * matrix.positions * matrix.stored * matrix.rows * matrix.outputs * (2 if matrix.signed else 1)
        for matrix in program.all_matrices
    )
    areas = {name: sum(layer.area_by_component_m2[name] for layer in layers) for name in AREAS}
    areas["parts"] += sum(parts[trace.name].area for trace in rest)
    shares = {name: (value + (between if name == "digital" else 0.0)) / energy if energy else 0.0
              for name, value in totals.items()}  # fmt: skip
    writes = max((layer.writes_per_day for layer in layers), default=0.0)
    calibrated = offset_calibration(program, costs) or (None, None)

    def tera(operations: float, joules: float) -> float:
        return operations / joules * 1e-12 if joules else 0.0

    return Report(
        model=program.network.name,
        chip=hardware.name,
        seed=seed,
        seed_noise=seed_noise,
        images=images,
        accuracy_chip=None,
        accuracy_exact=None,
        energy_J_per_image=energy,
        energy_band_J_per_image=band,
        energy_between_J_per_image=between,
        energy_shares=shares,
        latency_s_per_image=plan.latency,
        latency_whole_s_per_image=waiting.latency,
        images_per_s=1.0 / pace if pace else 0.0,
        bottleneck=plan.bottleneck,
        area_m2=sum(areas.values()),
        area_by_component_m2=areas,
        leakage_J_per_image=totals["leakage"],
        lifetime_s=costs.endurance * DAY / writes if writes else None,
        operations_per_image=program.operations,
        operations_executed_per_image=executed,
        tops_per_watt=tera(program.operations, energy),
        tops_per_watt_band=(tera(program.operations, band[1]), tera(program.operations, band[0])),
        tops_per_watt_executed=tera(executed, energy),
        tops_per_watt_array=tera(program.operations, totals["array"]),
        tops_per_watt_array_executed=tera(executed, totals["array"]),
        parts=part_reports(program, costs, {trace.name: work[trace.name] + trace.activity for trace in traces}, pace),
        comparison=(*measurements(program.network.name, energy), *compare(program.operations, energy)),
        tiles=sum(layer.tiles for layer in layers),
        layers=layers,
        arrays=arrays(program, costs),
        configuration=asdict(hardware),
        versions={
            "crossgate": importlib.metadata.version("crossgate"),
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("numpy", "numba", "scipy")},
        },
        calibration_J=calibrated[0],
        calibration_s=calibrated[1],
        compensated=tuple(f"{each.name} ({', '.join(each.keys)})" for each in compensations(hardware)),
        digital_scales={
            layer.name: program.digital_scales.get(layer.name, "as the chip description says")
            for layer in program.folded.layers
            if isinstance(layer, Scale)
        },
        keeping=keeping(program, costs, again, plan.interval, followed, felt),
    )


def _writes_per_day(program: Program, layer: str, again: Rewriting, pace: float) -> float:
    """Return the writes of each cell of a layer per day at full throughput; pace: time from image to image [s]."""
    if not pace:
        return 0.0
    if any(matrix.rewritten for matrix in program.matrices.get(layer, ())):
        return DAY / pace
    return DAY / pace / again.period


def _layer(
    trace: LayerTrace,
    program: Program,
    costs: Costs,
    done: Activity,
    times: dict[str, float],
    plan: Schedule,
    areas: dict[str, float],
    leaking: float,
    writes_per_day: float,
    felt: float,
) -> LayerReport:
    energies = costs.energies(done, program.hardware.periphery)
    energies["parts"] += leaking
    matrices = program.matrices.get(trace.name, ())
    dynamic = [matrix for matrix in matrices if matrix.kind in ("dynamic conv", "kernel")]
    layout = dynamic[0].layout if dynamic else None
    entropy = deviation = gain = varying = None
    if trace.attention is not None and len(trace.attention):
        weights = np.clip(trace.attention, 1e-12, 1.0)
        entropy = float(np.mean(-np.sum(weights * np.log(weights), 1)) / math.log(weights.shape[1]))
        deviation = float(trace.attention.std(0).mean())
    if trace.scales is not None and len(trace.scales):
        gain, varying = float(trace.scales.mean()), float(trace.scales.std(0).mean())
    return LayerReport(
        trace.name,
        trace.kind,
        program.tiles(trace.name),
        program.utilisation(trace.name),
        trace.error,
        trace.own_error,
        sum(energies.values()),
        energies,
        sum(times.values()),
        times,
        layout,
        plan.starts[trace.name],
        plan.intervals[trace.name],
        sum(areas.values()),
        areas,
        writes_per_day,
        2 * sum(matrix.multiplications for matrix in program.of(trace.name)),
        entropy,
        deviation,
        gain,
        varying,
        felt,
    )
