"""Threads: division of work, calls from several user threads, forks, and single-threaded BLAS."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

import crossbar
import devices
from crossbar import Wires, solve
from devices.errors import ParameterError
from devices.numerics.blas import one_blas_thread
from devices.numerics.worker_threads import in_shares, set_threads, threads

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def two_threads(monkeypatch):
    """Two threads also where the machine has one core."""
    before = threads()
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", max(2, numba.config.NUMBA_NUM_THREADS))
    set_threads(2)
    yield
    monkeypatch.undo()
    set_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64, 1001])
@pytest.mark.parametrize("block", [1, 3, 16])
@pytest.mark.parametrize("parts", [1, 4])
def test_in_shares__covers_the_range_once_in_order_and_in_whole_blocks(two_threads, count, block, parts):
    slices = in_shares(lambda some: some, count, parts=parts, block=block)
    assert [k for some in slices for k in range(some.start, some.stop)] == list(range(count))
    assert all(some.start % block == 0 for some in slices)
    assert len(slices) == min(-(-count // block), 2 * parts)


def test_in_shares__runs_on_other_threads_and_stays_on_one_inside_a_part(two_threads):
    def inner(some):
        return threading.get_ident()

    def outer(some):
        return threading.get_ident(), set(in_shares(inner, 8)), threads()

    results = in_shares(outer, 8)
    assert all(mine != threading.get_ident() and nested == {mine} and own == 1 for mine, nested, own in results)
    assert threading.get_ident() not in in_shares(inner, 8)  # and the caller's own next work is cut again


def test_in_shares__raises_the_first_error_of_a_part(two_threads):
    def work(some):
        raise ParameterError(f"part {some.start}")

    with pytest.raises(ParameterError, match=r"^part 0$"):
        in_shares(work, 100)


def test_set_threads__counts_for_the_calling_thread_alone(two_threads):
    def other():
        set_threads(1)
        return threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(other).result() == 1
    assert threads() == 2


def test_kernels__never_start_threads_of_numba():
    """A parallel kernel would bring back the layer that aborts in threads and dies after a fork."""
    for package in (devices, crossbar):
        for path in Path(package.__file__).parent.rglob("*.py"):
            source = path.read_text()
            assert not any(word in source for word in ("prange", "numba.get_num_threads", "parallel=True")), path


# What a user's program may do: call from several threads at once, fork after a call, fork a pool, fork out of a thread.
PROGRAM = """
import multiprocessing, os, sys
from concurrent.futures import ThreadPoolExecutor
import numba
import numpy as np
from crossbar import Wires, solve, transfer_matrix
from devices.numerics.worker_threads import threads

g = np.linspace(1e-6, 1e-4, 24 * 20).reshape(24, 20)
wires = Wires(1.0, 1.0, 10.0, 10.0)

def job(k):
    v = np.cos(np.arange(40 * 24) + k).reshape(40, 24)
    return solve(g, v, wires).currents, v @ transfer_matrix(g, wires)

def check(results):
    for k, (one, other) in enumerate(results):
        assert np.array_equal(one, expected[k][0]) and np.array_equal(other, expected[k][1])

if __name__ == "__main__":
    assert threads() == 2
    expected = [job(k) for k in range(8)]
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            check(pool.map(job, range(8)))
    pid = os.fork()
    if pid == 0:
        check(map(job, range(8)))
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    with multiprocessing.get_context("fork").Pool(2) as pool:
        check(pool.map(job, range(8)))
    with ThreadPoolExecutor(1) as one, multiprocessing.get_context("fork").Pool(1) as pool:
        check(one.submit(pool.map, job, range(8)).result())
    check(map(job, range(8)))
    print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_solve__from_threads_and_forked_children_under_each_threading_layer(tmp_path, layer):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {
        **os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2", "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
    }  # fmt: skip
    run = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "fine\n"), run.stderr


def blas_threads():
    return [library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()]


@pytest.fixture
def two_blas_threads():
    with ThreadpoolController().limit(limits={"blas": 2}):
        if set(blas_threads()) != {2}:
            pytest.skip("a BLAS of one thread")
        yield


def test_one_blas_thread__lasts_until_the_last_thread_has_left(two_blas_threads):
    inside, leave = threading.Barrier(2), threading.Event()

    def other():
        with one_blas_thread():
            inside.wait()
            leave.wait()
        return blas_threads()

    with ThreadPoolExecutor(1) as pool:
        with one_blas_thread():
            late = pool.submit(other)
            inside.wait()
        assert set(blas_threads()) == {1}  # this thread has left, the other has not
        leave.set()
        assert set(late.result()) == {2}
    assert set(blas_threads()) == {2}


def test_one_blas_thread__is_one_inside_and_restored_outside_whatever_many_threads_do(two_blas_threads):
    def work(seed):
        seen = set()
        for _ in range(40):
            with one_blas_thread():
                seen.update(blas_threads()[:1])
                with one_blas_thread():
                    seen.update(blas_threads()[:1])
                seen.update(blas_threads()[:1])
        return seen

    with ThreadPoolExecutor(6) as pool:
        assert set().union(*pool.map(work, range(6))) == {1}
    assert set(blas_threads()) == {2}


def test_one_blas_thread__is_restored_after_an_error(two_blas_threads):
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert set(blas_threads()) == {2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("forking_thread_is_inside", [False, True])
def test_one_blas_thread__counts_in_a_child_only_those_that_live_there(
    two_blas_threads, forking_thread_is_inside, recwarn
):
    inside, leave = threading.Barrier(2), threading.Event()

    def other():
        with one_blas_thread():
            inside.wait()
            leave.wait()

    def fork():
        pid = os.fork()
        if pid == 0:
            with one_blas_thread():
                one = set(blas_threads()) == {1}
            after = set(blas_threads()) == ({1} if forking_thread_is_inside else {2})
            os._exit(0 if one and after else 3)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    try:
        if forking_thread_is_inside:
            with one_blas_thread():
                assert fork() == 0
        else:
            assert fork() == 0
    finally:
        leave.set()
        thread.join()
    recwarn.clear()  # Python warns of a fork beside threads from 3.12 on
    assert set(blas_threads()) == {2}


def test_solve__gives_the_same_bits_on_one_and_two_threads(two_threads, rng):
    g, v = rng.uniform(1e-6, 1e-4, (12, 9)), rng.uniform(-0.3, 0.3, (31, 12))
    wires = Wires(1.0, 2.0, 10.0, 5.0)
    both = solve(g, v, wires)
    set_threads(1)
    one = solve(g, v, wires)
    assert np.array_equal(both.v_rows, one.v_rows)
    assert np.array_equal(both.currents, one.currents)
