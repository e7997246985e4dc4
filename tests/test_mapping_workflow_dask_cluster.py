"""Work on other processes: bit-equal to this one, in any order; workers that end; clusters that are not there."""

import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping.chips.chip import Chip
from mapping.files.cache import Cache
from mapping.files.packed import pack
from mapping.hardware.description_files import load_hardware
from mapping.inference import running
from mapping.inference.running import run
from mapping.networks import Attention, Conv, DynamicConv, Flatten, GlobalAveragePool, Linear, Network, Relu
from mapping.workflow import dask_cluster as clusters
from mapping.workflow.compiling import compile_network
from mapping.workflow.dask_cluster import cluster
from mapping.workflow.kept_results import KeptRun, chip_classes
from mapping.workflow.writing import write

K = 3  # kernels


def dynamic(rng):
    conv = DynamicConv(
        "mixed", ("input",), rng.normal(size=(K, 4, 2, 3, 3)), rng.normal(size=(K, 4)), (1, 1), (1, 1), (1, 1), 1,
        Attention(rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=(K, 3)), None, 1.0, "softmax"),
    )  # fmt: skip
    pool, fc = GlobalAveragePool("pool", ("mixed",)), Linear("fc", ("pool",), rng.normal(size=(3, 4)))
    return Network("small", (2, 6, 5), tuple("abc"), (conv, pool, fc))


def static(rng):
    return Network("small", (2, 6, 5), tuple("abc"), (
        Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)), None, padding=(1, 1)), Relu("relu", ("conv",)),
        Flatten("flat", ("relu",)), Linear("fc", ("flat",), rng.normal(size=(3, 120))),
    ))  # fmt: skip


def compiled(layout, *settings):
    """A program with several tiles a matrix, and images to run."""
    rng = np.random.default_rng(1)
    network = static(rng) if layout == "static" else dynamic(rng)
    layouts = () if layout == "static" else (f"mapping.layouts.mixed={layout}",)
    hardware = load_hardware("adaptive2d").with_values(
        ["tile.rows=12", "tile.columns=8", "tile.gate_nodes=4", *layouts, *settings]
    )
    images = rng.random((11, 2, 6, 5))
    return compile_network(network, hardware, images[:4]), images


def elsewhere(work, shared, items):
    """Do as other processes do: everything is pickled, and the last item is done first."""
    for at in reversed(range(len(items))):
        function, held, item = pickle.loads(pickle.dumps((work, shared, items[at])))
        yield at, pickle.loads(pickle.dumps(function(held, item)))


def bits(value: Chip, folder):
    """The bytes of everything that a chip holds beside its program."""
    parts = [value.tiles, value.banks, value.adjustments, value.stress, value.simulated, value.programming]
    pack(folder / "chip", parts, chip_classes())
    return (folder / "chip").read_bytes()


def same(one, other):
    np.testing.assert_array_equal(one.logits, other.logits)
    for first, second in zip(one.layers, other.layers, strict=True):
        assert (first.activity, first.error, first.own_error) == (second.activity, second.error, second.own_error)
        if first.attention is not None:
            np.testing.assert_array_equal(first.attention, second.attention)


@pytest.mark.parametrize("layout", ["static", "parallel", "stacked", "reprogram"])
def test_elsewhere__chip_and_results_have_the_same_bits(layout, tmp_path):
    program, images = compiled(layout)
    here, there = write(program, 2), write(program, 2, distribute=elsewhere)
    assert list(here.tiles) == list(there.tiles)
    assert bits(here, tmp_path) == bits(there, tmp_path)
    same(run(here, images, seed=4, batch=2), run(there, images, seed=4, batch=2, distribute=elsewhere))


def test_elsewhere__simulated_writes_have_the_same_bits(tmp_path):
    program, _ = compiled("static", "tile.write=simulated", "tile.rows=64")
    here, there = write(program, 2), write(program, 2, distribute=elsewhere)
    assert here.programming == there.programming
    assert here.programming.pulses > 0
    assert bits(here, tmp_path) == bits(there, tmp_path)


def test_elsewhere__reports_progress_and_keeps_each_batch_at_once(tmp_path):
    program, images = compiled("static")
    written, done = [], []
    chip = write(program, progress=written.append, distribute=elsewhere)
    assert written == sorted(written)
    assert written[-1] == sum(len(matrix.tiles) for matrix in program.all_matrices)
    kept = KeptRun(Cache(tmp_path), chip, images)
    plain = run(chip, images, batch=3)

    def stops(work, shared, items):
        for number, pair in enumerate(elsewhere(work, shared, items)):
            if number == 2:
                raise KeyboardInterrupt
            yield pair

    with pytest.raises(KeyboardInterrupt):
        run(chip, images, batch=3, kept=kept, distribute=stops)
    assert kept.images == 2 + 3  # the last batch has two images

    def only_the_rest(work, shared, items):
        assert [start for start, _ in items] == [0, 3]
        yield from elsewhere(work, shared, items)

    same(plain, run(chip, images, batch=3, kept=kept, distribute=only_the_rest, progress=done.append))
    assert done == [3, 6, 9, 11]


# clusters


@pytest.fixture(scope="module")
def local():
    """A scheduler with two worker processes, which are started again when they end."""
    distributed = pytest.importorskip("distributed")
    import dask

    patient = {"distributed.deploy.lost-worker-timeout": "600s"}  # a busy machine may take long to start a worker again
    with (
        dask.config.set(patient),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as workers,
    ):
        yield workers


def test_cluster__chip_and_results_have_the_same_bits(local, tmp_path):
    program, images = compiled("parallel")
    here = write(program, 2)
    with cluster(local.scheduler_address) as workers:
        there = write(program, 2, distribute=workers.distribute)
        assert bits(here, tmp_path) == bits(there, tmp_path)
        found = run(there, images, batch=2, distribute=workers.distribute)
    same(run(here, images, batch=2), found)


@pytest.mark.parametrize("killed", [1, 2])
def test_cluster__a_worker_killed_in_the_middle_loses_nothing(killed, local):
    program, images = compiled("static")
    chip = write(program)
    processes = []

    class Kills:
        """A store that ends workers when the first batch is there; with all of them the last copy of the chip ends."""

        def get(self, start, stop):
            return None

        def put(self, start, stop, done):
            if not processes:
                processes.extend(workers.client.run(os.getpid).values())
                for each in processes[:killed]:
                    os.kill(each, signal.SIGKILL)

    with cluster(local.scheduler_address) as workers:
        workers.client.wait_for_workers(2)  # an earlier test may have ended one
        found = run(chip, images, batch=1, kept=Kills(), distribute=workers.distribute)
    assert len(processes) == 2
    same(run(chip, images, batch=1), found)


def test_cluster__other_code_on_a_worker_is_one_sentence(local, monkeypatch):
    monkeypatch.setattr(clusters, "code_version", lambda: "other")
    with (
        pytest.raises(ParameterError, match="must have the same version of crossgate"),
        cluster(local.scheduler_address),
    ):
        pass


def test_cluster__an_error_of_the_work_is_raised_here(local):
    with cluster(local.scheduler_address) as workers, pytest.raises(AttributeError, match="chip"):
        list(workers.distribute(running._piece, None, [(0, np.zeros((1, 2, 6, 5)))]))


def test_cluster__no_items_and_no_work(local):
    with cluster(local.scheduler_address) as workers:
        assert list(workers.distribute(running._piece, None, [])) == []


def test_run__on_a_cluster_writes_the_same_report(local, crossgate, model):
    words = ["run", model, "--images", 20, "--no-cache", "--json"]
    status, report, _ = crossgate(*words, "--out", "one")
    assert status == 0
    there = crossgate(*words, "--out", "two", "--dask", local.scheduler_address)
    assert there == (0, report, "")
    for name in ("layers.png", "predictions.csv", "report.csv"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


def test_cluster__without_workers_is_one_sentence(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "PATIENCE", 1)
    with (
        distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None, silence_logs=50) as workers,
        pytest.raises(ParameterError, match="has no workers"),
        cluster(workers.scheduler_address),
    ):
        pass


def test_run__an_address_that_nobody_answers_is_one_sentence(crossgate, refused, model, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "PATIENCE", 1)
    refused(crossgate("run", model, "--dask", "tcp://127.0.0.1:9"), "no Dask scheduler at 'tcp://127.0.0.1:9'")


def test_run__a_cluster_needs_its_package(crossgate, refused, model, monkeypatch):
    monkeypatch.setattr(clusters.importlib.util, "find_spec", lambda _: None)
    refused(crossgate("run", model, "--dask", "tcp://127.0.0.1:9"), "pip install 'crossgate[dask]'")
