"""Multiport reduction against the reference solver, and laws that every transfer matrix obeys."""

from math import inf

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crossbar import Multiport, Wires, reduce_array, reference_solve, transfer_matrices, transfer_matrix
from crossbar.transfer.merge_lanes import star
from crossbar.transfer.merge_plan import Ends, merge_order, plan, plan_lanes
from crossbar.transfer.merge_table import LEAF_CLASS
from crossbar.transfer.reduction import reduce_arrays
from crossbar.transfer.reduction_kernels import resistance_ratio
from devices.errors import ParameterError
from devices.numerics import worker_threads
from devices.numerics.jit import kernel
from devices.numerics.simd import load, store

# The reference solver refines to about 1e-15 of each current, and the reduction never subtracts.  The largest
# difference of any entry over 400 drawn arrays was 4e-15; the bound leaves room for other BLAS libraries.
AGREES = 1e-12

SIZES = [*range(1, 12), 13, 16, 17, 23, 24, 31, 32, 33, 37, 40]  # leaves of 8, powers of two, primes, and neighbours
ENDS = [  # pools of resistances that the ends of lines are drawn from
    [0.0], [1.0, 50.0], [0.0, 1.0, 50.0, 1e6, inf], [0.0, 1e-3, 1e6], [10.0, inf]
]  # fmt: skip


def drawn(seed, m, n):
    """An array and its wires: 1e-9 to 1e-2 S with zeros, 0 to 100 ohm, ends from 0 to inf line by line."""
    rng = np.random.default_rng(seed)
    g = 10.0 ** rng.uniform(-9.0, -2.0, (m, n))
    g[rng.random((m, n)) < rng.choice([0.0, 0.2, 0.9, 1.0], p=[0.4, 0.3, 0.25, 0.05])] = 0.0
    r_row, r_column = rng.choice([0.0, 1e-3, 1.0, 100.0], 2)

    def ends(count):
        return rng.choice(ENDS[rng.integers(len(ENDS))], count)

    far = rng.random(2) < 0.5
    return g, Wires(
        r_row, r_column, ends(m), ends(n),
        r_driver_far=ends(m) if far[0] else inf, r_sense_far=ends(n) if far[1] else inf,
    )  # fmt: skip


arrays = st.builds(drawn, st.integers(0, 2**32 - 1), st.sampled_from(SIZES), st.sampled_from(SIZES))


def sane(rng, m, n, **far):
    return 10.0 ** rng.uniform(-6.0, -4.0, (m, n)), Wires(1.0, 2.0, 50.0, 10.0, **far)


# ---- against the reference solver ----


@settings(max_examples=80)
@given(arrays)
@example(drawn(1, 1, 40))
@example(drawn(2, 40, 1))
@example(drawn(3, 1, 1))
@example(drawn(4, 37, 23))
def test_transfer__every_entry_is_the_twins(array):
    g, wires = array
    currents = reference_solve(g, np.eye(len(g)), wires).currents  # one source at 1 V each time
    transfer = transfer_matrix(g, wires)
    assert transfer.shape == g.shape
    open_ = currents == 0.0
    np.testing.assert_allclose(transfer[~open_], currents[~open_], rtol=AGREES)
    # 0 where the reference solver finds no path at all; its denormal residues of refinement count as 0
    assert np.abs(transfer[open_]).max(initial=0.0) <= 1e-20 * currents.max(initial=0.0)


@settings(max_examples=30)
@given(arrays, st.integers(0, 2**32 - 1))
def test_transfer__superposition(array, seed):
    g, wires = array
    v = np.random.default_rng(seed).uniform(-1.0, 1.0, (3, len(g)))
    currents = reference_solve(g, v, wires).currents
    transfer = transfer_matrix(g, wires)
    # inputs of both signs cancel in a current, so it is known to rounding of the sum of its parts only
    np.testing.assert_allclose(v @ transfer, currents, rtol=0.0, atol=AGREES * (np.abs(v) @ transfer).max() + 1e-300)


@settings(max_examples=40)
@given(arrays, st.integers(0, 2**32 - 1))
def test_power__what_the_twin_turns_into_heat(array, seed):
    """Also where rows hang together far more tightly than they hang on the columns."""
    g, wires = array
    rng = np.random.default_rng(seed)
    v = np.vstack([rng.uniform(-1.0, 1.0, (2, len(g))), np.ones(len(g)), np.eye(len(g))[:2]])
    power = reference_solve(g, v, wires).power
    np.testing.assert_allclose(reduce_array(g, wires).power(v), power, rtol=AGREES, atol=1e-300)


@settings(max_examples=20)
@given(arrays, st.integers(0, 2**32 - 1))
def test_source_currents__power_over_voltage(array, seed):
    """One source alone delivers its power over its voltage; many deliver the sum of what each drives."""
    g, wires = array
    multiport = reduce_array(g, wires)
    v = np.diag(np.random.default_rng(seed).uniform(0.1, 1.0, len(g)))
    delivered = multiport.source_currents(v)
    np.testing.assert_allclose(np.diagonal(delivered) * np.diagonal(v), multiport.power(v), rtol=AGREES, atol=1e-300)
    together = multiport.source_currents(v.sum(0)[None])[0]
    np.testing.assert_allclose(together, delivered.sum(0), rtol=0.0, atol=AGREES * np.abs(delivered).max() + 1e-300)
    # what no other source takes back is what the columns deliver
    np.testing.assert_allclose(together.sum(), (v.sum(0) @ multiport.transfer).sum(), rtol=1e-10, atol=1e-300)


# ---- laws ----


@settings(max_examples=40)
@given(arrays)
def test_couplings__never_negative(array):
    multiport = reduce_array(*array)
    assert multiport.transfer.min() >= 0.0
    assert multiport.exchange.min() >= 0.0
    assert not np.diagonal(multiport.exchange).any()
    np.testing.assert_allclose(multiport.exchange, multiport.exchange.T, rtol=AGREES, atol=0.0)


@settings(max_examples=40)
@given(arrays)
def test_reciprocity__sources_and_senses_change_places(array):
    """Turned over its minor diagonal, the near end of every row is the near end of a column and vice versa."""
    g, wires = array
    m, n = g.shape
    turned = Wires(
        wires.r_column, wires.r_row, wires.sense(n)[::-1], wires.driver(m)[::-1],
        r_driver_far=wires.sense_far(n)[::-1], r_sense_far=wires.driver_far(m)[::-1],
    )  # fmt: skip
    there, back = transfer_matrix(g, wires), transfer_matrix(g[::-1, ::-1].T, turned)
    np.testing.assert_allclose(back[::-1, ::-1].T, there, rtol=AGREES, atol=1e-300)


@pytest.mark.parametrize("far", [0.0, 3.0, inf])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (8, 8), (33, 20)])
def test_zero_wires__the_conductances_themselves(rng, shape, far):
    g = 10.0 ** rng.uniform(-9.0, -2.0, shape)
    wires = Wires(0.0, 0.0, 0.0, 0.0, r_driver_far=far, r_sense_far=far)
    np.testing.assert_array_equal(transfer_matrix(g, wires), g)
    np.testing.assert_array_equal(transfer_matrices(g[None], wires)[0], g)
    assert not reduce_array(g, wires).exchange.any()


def test_passivity__more_wire_never_draws_more(rng):
    """Rayleigh's law: raising any resistance lowers the power that all rows at 1 V draw."""
    g, wires = sane(rng, 19, 14)
    all_on = np.ones((1, 19))
    powers = [
        reduce_array(g, Wires(wires.r_row * f, wires.r_column * f, wires.r_driver, wires.r_sense)).power(all_on)[0]
        for f in (0.0, 0.5, 1.0, 2.0, 8.0)
    ]
    assert np.all(np.diff(powers) < 0.0)
    assert powers[0] < g.sum()


def test_floating_lines__carry_nothing(rng):
    g, _ = sane(rng, 12, 10)
    driver, sense = np.full(12, 5.0), np.full(10, 3.0)
    driver[4] = sense[7] = inf
    transfer = transfer_matrix(g, Wires(1.0, 1.0, driver, sense))
    assert not transfer[4].any()
    assert not transfer[:, 7].any()
    assert np.delete(np.delete(transfer, 4, 0), 7, 1).min() > 0.0


def test_unconnected__all_ends_or_all_cells_open(rng):
    g, wires = sane(rng, 11, 9)
    assert not transfer_matrix(g, Wires(1.0, 1.0, inf, 1.0)).any()
    assert not transfer_matrix(g, Wires(1.0, 1.0, 1.0, inf)).any()
    assert not transfer_matrix(np.zeros((11, 9)), wires).any()


def test_weak_cells__relative_accuracy_is_kept(rng):
    """Cells 1e14 times weaker than the wires: to first order each is seen through its own wires only."""
    g = 10.0 ** rng.uniform(-15.0, -13.0, (30, 30))
    transfer = transfer_matrix(g, Wires(1.0, 1.0, 1.0, 1.0))
    np.testing.assert_allclose(transfer, g, rtol=1e-9)  # the wires' share is at most 30 × 30 Ω × 1e-13 S
    assert np.all(transfer < g)


@pytest.mark.parametrize("r_end", [1e3, 1e6, 1e9])
def test_floating_cluster__digits_go_with_its_isolation(rng, r_end):
    """Strong cells behind weak ends: a row of cells times the end's resistance, in last places, may be lost."""
    g = rng.uniform(0.5e-2, 1e-2, (24, 24))
    wires = Wires(1e-3, 1e-3, r_end, r_end)
    exact = reference_solve(g, np.eye(24), wires).currents
    lost = np.finfo(float).eps * g[0].sum() * r_end
    np.testing.assert_allclose(transfer_matrix(g, wires), exact, rtol=AGREES + 20.0 * lost)


# ---- one elimination ----


@kernel
def eliminated(arms, y, out):
    """Run `star` on four nodes at once: arms (4, LANES), y (LANES) -> out (4, LANES)."""
    results = star(load(arms, 0), load(arms, 4), load(arms, 8), load(arms, 12), load(y, 0))
    store(out, 0, results[0])
    store(out, 4, results[1])
    store(out, 8, results[2])
    store(out, 12, results[3])


def star_of(r_1, r_2, y):
    """What `star` makes of arms given by their resistances, in every lane."""
    arms = np.array([resistance_ratio(r_1), resistance_ratio(r_2)]).reshape(4)
    out = np.empty((4, 4))
    eliminated(np.repeat(arms, 4), np.full(4, y), out.reshape(-1))
    np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1], (4, 4)))
    return out[:, 0]


@pytest.mark.parametrize(("r_1", "r_2", "y"), [(2.0, 3.0, 0.5), (0.0, 3.0, 0.5), (2.0, 0.0, 0.5), (2.0, 3.0, 0.0)])
def test_star__is_the_star_mesh_transform(r_1, r_2, y):
    """With conductances 1/r of both arms, every coupling is a product over the sum; the 0 Ω limit is finite."""
    tiny = 1e-13
    a, b = 1.0 / max(r_1, tiny), 1.0 / max(r_2, tiny)
    total = a + b + y
    np.testing.assert_allclose(star_of(r_1, r_2, y), (a * b / total, a / total, b / total, 1.0 / total), atol=1e-11)


@pytest.mark.parametrize("y", [0.0, 0.5])
def test_star__open_arms(y):
    """Of a node without any coupling the last factor is never used: only that it is finite counts."""
    np.testing.assert_allclose(star_of(inf, inf, y), (0.0, 0.0, 0.0, 1.0 / y if y else 1.0), rtol=1e-15)
    np.testing.assert_allclose(star_of(inf, 4.0, y), (0.0, 0.0, 0.25 / (0.25 + y), 1.0 / (0.25 + y)), rtol=1e-15)
    np.testing.assert_allclose(star_of(4.0, inf, y), (0.0, 0.25 / (0.25 + y), 0.0, 1.0 / (0.25 + y)), rtol=1e-15)


@pytest.mark.parametrize("r", [1e-300, 1e-3, 1.0, 1e6, 1e300])
def test_arm__is_the_resistance(r):
    a, b = resistance_ratio(r)
    assert 0.0 <= min(a, b) <= max(a, b) == 1.0
    np.testing.assert_allclose(a / b, r, rtol=1e-15)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 3), (4, 4), (3, 1)])
@pytest.mark.parametrize(("right", "top"), [(False, False), (True, True)])
def test_patch__eliminates_what_the_dense_matrix_eliminates(rng, a, b, right, top):
    """One patch alone, against the Schur complement of its nodal matrix."""
    far = {
        "r_driver_far": rng.uniform(1.0, 9.0, a) if right else inf,
        "r_sense_far": rng.uniform(1.0, 9.0, b) if top else inf,
    }
    wires = Wires(2.0, 3.0, rng.uniform(1.0, 9.0, a), rng.uniform(1.0, 9.0, b), **far)
    g = 10.0 ** rng.uniform(-3.0, 0.0, (a, b))
    exact = reference_solve(g, np.eye(a), wires)
    np.testing.assert_allclose(transfer_matrix(g, wires), exact.currents, rtol=1e-13)
    np.testing.assert_allclose(reduce_array(g, wires).power(np.eye(a)), exact.power, rtol=1e-13)


# ---- batches and threads ----


@pytest.mark.parametrize("far", [{}, {"r_driver_far": 20.0, "r_sense_far": 30.0}])
@pytest.mark.parametrize("shape", [(1, 1), (13, 1), (1, 17), (24, 40), (37, 11)])
def test_batch__equals_one_by_one(rng, shape, far):
    g, wires = sane(rng, 3 * shape[0], shape[1], **far)
    batch = g.reshape(3, *shape)
    one_by_one = np.array([transfer_matrix(each, wires) for each in batch])
    # the same merges but for the last, of which a batch computes no more than it needs, in another order of additions
    np.testing.assert_allclose(transfer_matrices(batch, wires), one_by_one, rtol=1e-14, atol=0.0)


@settings(max_examples=40)
@given(arrays)
def test_batch__sums_of_couplings_between_rows(array):
    """What rows at 0 V take from one at 1 V, also where both ends of a row meet far more tightly than two rows do."""
    g, wires = array
    exchange = reduce_array(g, wires).exchange.sum(1)
    transfers, taken = reduce_arrays(np.stack([g, 2.0 * g, g]), wires)
    assert taken.shape == (3, len(g))
    np.testing.assert_allclose(taken[0], exchange, rtol=AGREES, atol=0.0)
    np.testing.assert_array_equal(taken[2], taken[0])
    np.testing.assert_array_equal(transfers, transfer_matrices(np.stack([g, 2.0 * g, g]), wires))


def test_batch__of_none_is_empty(rng):
    assert transfer_matrices(np.empty((0, 5, 4)), Wires(1, 1, 1, 1)).shape == (0, 5, 4)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
@pytest.mark.parametrize("segment", [0.0, 1.0])
def test_threads__change_no_bit(rng, segment):
    g, _ = sane(rng, 3 * 70, 50)
    batch, wires = g.reshape(3, 70, 50), Wires(segment, segment, 50.0, 10.0)
    before = worker_threads.threads()
    results = []
    try:
        for count in (1, 2):
            worker_threads.set_threads(count)
            one = reduce_array(batch[0], wires)
            results.append((one.transfer, one.exchange, transfer_matrices(batch, wires)))
    finally:
        worker_threads.set_threads(before)
    for one_thread, two_threads in zip(*results, strict=True):
        np.testing.assert_array_equal(one_thread, two_threads)


def test_arguments__are_left_alone(rng):
    g, wires = sane(rng, 20, 20)
    kept = g.copy()
    transfer_matrix(g, wires)
    transfer_matrices(g[None], wires)
    np.testing.assert_array_equal(g, kept)


def test_layout__fortran_order_and_integers_are_taken(rng):
    g, wires = sane(rng, 9, 12)
    np.testing.assert_array_equal(transfer_matrix(np.asfortranarray(g), wires), transfer_matrix(g, wires))
    np.testing.assert_array_equal(transfer_matrix(np.eye(3, dtype=int), wires), transfer_matrix(np.eye(3), wires))


# ---- the plan ----


@pytest.mark.parametrize("tasks", [1, 8])
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (9, 8), (40, 3), (61, 59)])
def test_plan__tasks_do_not_share_their_blocks(shape, tasks):
    """Every merge of a task writes where no other task reads or writes."""
    from crossbar.transfer.merge_table import PORTS, PORTS_A, PORTS_B, START, START_A, START_B
    from crossbar.transfer.patches import padded

    steps = plan(*shape, Ends(False, False, False, False), tasks)
    spans = []
    for first, last in zip(steps.tasks[:-1], steps.tasks[1:], strict=True):
        used = set()
        for op in steps.ops[first:last]:
            for start, ports in ((START, PORTS), (START_A, PORTS_A), (START_B, PORTS_B)):
                used.add((int(op[start]), int(op[start] + np.prod(padded(int(op[ports]))))))
        spans.append(used)
    for k, used in enumerate(spans):
        for other in spans[:k]:
            assert not any(a < d and c < b for a, b in used for c, d in other)
    assert steps.root.ports == sum(shape)
    assert steps.buffer >= steps.root.start + steps.root.size


@pytest.mark.parametrize(
    "far", [Ends(False, False, False, False), Ends(True, False, False, False), Ends(True, True, False, False)]
)
@pytest.mark.parametrize("shape", [(64, 64), (70, 33), (128, 128), (200, 10)])
def test_plan__every_leaf_is_in_one_group(shape, far):
    """A lane reduces a leaf by the steps of a class with the leaf's cells and at least its ports."""
    steps = plan(*shape, far, 8, 32)
    found = np.concatenate([np.unique(group[1:]) for group in steps.groups])
    np.testing.assert_array_equal(np.sort(found), np.arange(len(steps.leaves)))
    for kind, *lanes in steps.groups:
        for leaf in lanes:
            group, own = steps.classes[kind, 3:], steps.classes[steps.leaves[leaf, LEAF_CLASS], 3:]
            assert np.all(group >= own)
            assert group[0] == own[0]
            assert group[3] == own[3]


def test_plan__leaves_fill_the_lanes():
    assert len(plan(128, 128, Ends(False, False, False, False), 8, 32).groups) == 4  # 9 inner, 3 right, 3 top, 1 corner


@pytest.mark.parametrize("leaf", [8, 16, 32, 64])
def test_plan__side_of_leaves_does_not_matter(rng, leaf, monkeypatch):
    g = 10.0 ** rng.uniform(-6.0, -4.0, (70, 50))
    wires = Wires(1.0, 2.0, 3.0, 4.0, r_driver_far=5.0)
    expected = transfer_matrices(g[None], wires)[0]
    monkeypatch.setattr("crossbar.transfer.reduction.leaf_side", lambda m, n: leaf)
    np.testing.assert_allclose(transfer_matrix(g, wires), expected, rtol=1e-12)
    np.testing.assert_allclose(reduce_array(g, wires).transfer, expected, rtol=1e-12)


def test_plan__work_grows_with_the_third_power():
    """Twice the side is eight times the work of the merges, as docs/equations/reduction.md eq. 7 estimates."""
    sizes = np.array([64, 128, 256, 512])
    flops = np.array([plan_lanes(size, size, Ends(False, False, False, False)).flops for size in sizes.tolist()])
    assert np.all(flops < 32.0 * sizes**3.0)
    ratios = flops[1:] / flops[:-1]
    assert np.all(np.abs(np.diff(ratios - 8.0)) < ratios[:-1] - 8.0)  # the limit is the third power
    assert 8.0 < ratios[-1] < 8.2


def test_merge_order__is_the_cheapest_of_all_orders():
    """Every order of merges of 3 x 2 units, counted by brute force."""

    def cheapest(a, b, right, top, whole):
        if a == b == 1:
            return 0.0
        width, ports = 0.5 * b, a * (2 - right) + 0.5 * b * (2 - top)
        kept = 2 * a * width if whole else ports**2
        totals = [
            a**3 / 3
            + a**2 * ports
            + a * kept
            + cheapest(a, k, False, top, False)
            + cheapest(a, b - k, right, top, False)
            for k in range(1, b)
        ]
        totals += [
            width**3 / 3 + width**2 * ports + width * kept
            + cheapest(k, b, right, top, False) + cheapest(a - k, b, right, False, False)
            for k in range(1, a)
        ]  # fmt: skip
        return min(totals)

    for whole in (False, True):
        for far in ((False, False), (True, False), (False, True), (True, True)):
            assert merge_order(3, 2, 0.5, far, whole)[0] == pytest.approx(cheapest(3, 2, *far, whole), rel=1e-12)


# ---- precision of the result ----


def test_float32__is_the_rounded_float64(rng):
    g = 10.0 ** rng.uniform(-6.0, -4.0, (5, 9, 7))
    wires = Wires(1.0, 2.0, 3.0, 4.0)
    rounded = transfer_matrices(g, wires, np.float32)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, transfer_matrices(g, wires).astype(np.float32))
    np.testing.assert_array_equal(transfer_matrices(g[:1], wires, "float32"), rounded[:1])


def test_dtype__others_are_refused():
    with pytest.raises(ParameterError, match="dtype must be float64 or float32, got int64"):
        transfer_matrices(np.ones((2, 3, 3)), Wires(1.0, 1.0, 1.0, 1.0), np.int64)


# ---- bad input ----


@pytest.mark.parametrize("reduce", [transfer_matrix, reduce_array])
@pytest.mark.parametrize(
    ("g", "words"),
    [
        (np.ones(3), r"g must have 2 axes, got 1 \(shape \(3,\)\)"),
        (np.ones((1, 2, 3)), "g must have 2 axes, got 3"),
        (np.ones((0, 3)), r"g must have at least one row and one column, got shape \(0, 3\)"),
        ([[1.0, -2.0]], r"g must be ≥ 0 everywhere, got -2 at index \(0, 1\) \(1 of 2\)"),
        ([[np.nan, 1.0]], r"g must hold no nan, got nan at index \(0, 0\)"),
        ([[np.inf, 1.0]], r"g must be finite, got inf at index \(0, 0\)"),
        ([["a"]], "g must be an array of real numbers"),
    ],
)
def test_g__bad_values_are_refused(reduce, g, words):
    with pytest.raises(ParameterError, match=words):
        reduce(g, Wires(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("g", "words"),
    [
        (np.ones((2, 3)), "g must have 3 axes, got 2"),
        (np.ones((2, 3, 0)), r"at least one row and one column, got shape \(2, 3, 0\)"),
        (-np.ones((1, 2, 2)), r"g must be ≥ 0 everywhere, got -1 at index \(0, 0, 0\) \(4 of 4\)"),
    ],
)
def test_batches__bad_values_are_refused(g, words):
    with pytest.raises(ParameterError, match=words):
        transfer_matrices(g, Wires(1, 1, 1, 1))


@pytest.mark.parametrize("reduce", [transfer_matrix, reduce_array, lambda g, wires: transfer_matrices(g[None], wires)])
def test_wires__for_another_array_are_refused(reduce):
    with pytest.raises(ParameterError, match="r_driver has 3 resistances, but the array has 2 rows"):
        reduce(np.ones((2, 4)), Wires(1, 1, [1, 1, 1], 1))
    with pytest.raises(ParameterError, match="r_sense has 3 resistances, but the array has 4 columns"):
        reduce(np.ones((2, 4)), Wires(1, 1, 1, [1, 1, 1]))


def test_multiport__by_hand():
    """Two sources, one sense node: 3 S and 4 S to it, 5 S between them."""
    multiport = Multiport(np.array([[3.0], [4.0]]), np.array([[0.0, 5.0], [5.0, 0.0]]))
    v = np.array([[1.0, 0.0], [1.0, 1.0], [2.0, -1.0]])
    np.testing.assert_array_equal(multiport.source_currents(v), [[8.0, -5.0], [3.0, 4.0], [21.0, -19.0]])
    np.testing.assert_array_equal(multiport.power(v), [8.0, 7.0, 61.0])
