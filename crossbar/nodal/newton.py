"""Node voltages, currents and power of arrays of nonlinear, gated cells: Newton's method on Kirchhoff's current law.

b = batch, m = rows, n = columns
"""

import numpy as np
import numpy.typing as npt

from crossbar.arrays.array import Array
from crossbar.arrays.solution import Solution
from crossbar.arrays.wires import Wires
from crossbar.nodal import linear
from crossbar.nodal.newton_kernels import solve_cells
from devices import checks
from devices.aliases import FloatArray
from devices.errors import ConvergenceError, ParameterError
from devices.numerics.worker_threads import in_shares

TOLERANCE = 1e-9  # relative residual, ours
MOST_STEPS = 50  # Newton steps, ours; 1 to 6 are usual
PARTS = 4  # slices of a batch per thread, to balance the threads (ours)


@checks.typed
def solve(
    circuit: FloatArray | Array, v: FloatArray, wires: Wires, *,
    v_gate: npt.ArrayLike | None = None, v_sense: npt.ArrayLike = 0.0, tolerance: float = TOLERANCE,
) -> Solution:  # fmt: skip
    """Solve an array for a batch of inputs, with all node voltages.

    circuit: conductances (m, n) [S] of linear cells, or an Array of cells with their laws.  v: (b, m) [V].
    v_gate: gate voltages of an Array [V], see solve_array.  v_sense: voltages at which the columns end [V], one value
    or two axes that broadcast to (b, n), for half-selected columns.  tolerance: relative residual at which Newton's
    method stops.
    Raises ParameterError for a wrong shape or value, ConvergenceError if an input does not converge.
    Source: docs/equations/lines.md, docs/equations/newton.md.
    """
    if isinstance(circuit, Array):
        return solve_array(circuit, v, wires, v_gate=v_gate, v_sense=v_sense, tolerance=tolerance)
    if v_gate is not None:
        raise ParameterError("v_gate must not be given for plain conductances, which have no gate: pass an Array")
    return linear.solve(circuit, v, wires, v_sense=v_sense)


def solve_array(
    array: Array, v: FloatArray, wires: Wires, *,
    v_gate: npt.ArrayLike | None = None, v_sense: npt.ArrayLike = 0.0,
    tolerance: float = TOLERANCE, most_steps: int = MOST_STEPS,
) -> Solution:  # fmt: skip
    """Solve an array of nonlinear cells for a batch of inputs by Newton steps, each of which solves a linear array.

    v: (b, m) [V].  v_gate: [V] one value, two axes that broadcast to (m, n), or three that broadcast to (b, m, n); None
    for cells without a gate.  v_sense: as in `solve`.  An input has converged when its relative residual is at most
    `tolerance`, or when its corrections are as small as rounding (docs/equations/newton.md, section 4);
    Solution.residual is the residual that was reached.
    Raises ParameterError for a wrong shape or value, ConvergenceError if an input does not converge.
    Source: docs/equations/newton.md eq. 1-10.
    """
    m, n = array.shape
    v = checks.voltages("v", v, shape=(None, m))
    senses = checks.spread("v_sense", v_sense, (len(v), n), "(b, n)")
    gain = array.gain(v_gate, len(v))
    tolerance = checks.number("tolerance", tolerance, above=0.0, below=1.0)
    most_steps = checks.whole("most_steps", most_steps, minimum=1)
    g = array.g_filament.copy()  # kernels require writable arrays
    rows, columns = linear.factorised_lines(g, wires)
    v_rows, v_columns, cells = (np.empty((len(v), m, n)) for _ in range(3))
    slopes, history = np.zeros((len(v), n)), np.full((len(v), most_steps + 1), np.nan)
    steps, solved = np.zeros(len(v), dtype=np.int64), np.zeros(len(v), dtype=np.bool_)

    def part(inputs: slice) -> None:
        solve_cells(
            array.cell.law, g, gain[inputs] if len(gain) > 1 else gain, rows, columns, v[inputs],
            senses[inputs], tolerance, most_steps, linear.MOST_STEPS, v_rows[inputs], v_columns[inputs], cells[inputs],
            slopes[inputs], history[inputs], steps[inputs], solved[inputs],
        )  # fmt: skip

    in_shares(part, len(v), parts=PARTS)
    if not solved.all():
        first = int(np.argmin(solved))
        reached = np.nanmin(history[first])
        raise ConvergenceError(
            f"{np.count_nonzero(~solved)} of {len(v)} inputs did not converge; first {first}: residual {reached:.1e} > "
            f"{tolerance:g} after {steps[first]} of at most {most_steps} steps"
        )
    most = int(steps.max(initial=0))
    terminals = linear.Terminals(v, senses, wires)
    return linear.solution(cells, slopes, terminals, v_rows, v_columns, most, history[:, : most + 1])
