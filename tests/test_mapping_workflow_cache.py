"""Results kept between runs: damaged files are found, results are bit-identical, interrupted runs resume."""

import hashlib
import json
import os
import struct
import threading
from dataclasses import fields, replace

import numpy as np
import pytest

from devices.errors import ParameterError
from devices.numerics import worker_threads
from mapping.files.cache import Cache
from mapping.files.packed import ALIGN, MAGIC, MAPPED, about, pack, unpack
from mapping.hardware.description_files import load_hardware
from mapping.inference import running as inference
from mapping.inference.running import exact_outputs, run
from mapping.networks import Activation, Attention, BatchNorm, DynamicConv, GlobalAveragePool, Linear, Network, Scale
from mapping.placement.matrix import Placement
from mapping.report.pricing import price
from mapping.workflow import digests
from mapping.workflow import kept_results as reuse
from mapping.workflow.compiling import compile_network
from mapping.workflow.digests import digest
from mapping.workflow.kept_results import KeptRun, compiled, written
from mapping.workflow.writing import write

K = 3  # kernels
LAYOUTS = ("parallel", "stacked", "digital", "reprogram")
CLASSES = {"Placement": Placement}


def network(rng, name="small"):
    """A dynamic layer with a batch norm behind it, pool, linear."""
    layers = (
        DynamicConv(
            "mixed", ("input",), rng.normal(size=(K, 4, 2, 3, 3)), rng.normal(size=(K, 4)), (1, 1), (1, 1), (1, 1), 1,
            Attention(rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=(K, 3)), None, 1.0, "softmax"),
        ),
        BatchNorm("norm", ("mixed",), *rng.uniform(0.5, 1.5, (4, 4)), 1e-5),
        GlobalAveragePool("pool", ("norm",)),
        Linear("fc", ("pool",), rng.normal(size=(3, 4))),
    )  # fmt: skip
    return Network(name, (2, 6, 5), tuple("abc"), layers)


def gated(rng):
    """A dynamic layer whose outputs are scaled by attention, on gates of columns where the chip has them."""
    pooled = (GlobalAveragePool("pool", ("input",)), Linear("fc", ("pool",), rng.normal(size=(4, 2))))
    first, *rest = network(rng).layers
    return Network("gated", (2, 6, 5), tuple("abc"), (
        *pooled, Activation("open", ("fc",), "sigmoid"), first, Scale("scale", ("mixed", "open")),
        replace(rest[0], inputs=("scale",)), replace(rest[1], name="last"),
        replace(rest[2], name="out", inputs=("last",)),
    ))  # fmt: skip


def hardware(layout="parallel", *settings):
    if layout == "columns":
        return hardware("parallel", "mapping.channel_attention=gates", *settings)
    return load_hardware("adaptive2d").with_values([
        "tile.rows=12", "tile.columns=8", "tile.gate_nodes=4", f"mapping.layouts.mixed={layout}", *settings
    ])  # fmt: skip


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).random((23, 2, 6, 5))


@pytest.fixture(scope="module")
def program(images):
    return compile_network(network(np.random.default_rng(1)), hardware(), images[:4])


@pytest.fixture(scope="module")
def chip(program):
    return write(program, 3)


@pytest.fixture
def said():
    return []


@pytest.fixture
def cache(tmp_path, said):
    return Cache(tmp_path / "kept", say=said.append)


def bits(value):
    """Everything below a value, arrays and floats bit by bit: equal texts for equal values."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{value.shape}{hashlib.sha256(np.ascontiguousarray(value)).hexdigest()}"
    if hasattr(value, "__dataclass_fields__"):
        return f"{type(value).__name__}({[bits(getattr(value, each.name)) for each in fields(value)]})"
    if isinstance(value, dict):
        return f"{[(bits(key), bits(held)) for key, held in value.items()]}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}{[bits(each) for each in value]}"
    return repr(value.item() if isinstance(value, np.generic) else value)


# files


def everything():
    order = np.arange(24.0).reshape(2, 3, 4)
    return {
        "plain": [None, True, False, 0, -7, 2**60, 0.1, -0.0, float("inf"), "ü\n", "", (), [], {}],
        "tuple": (1, (2.5, [3])), 3: {(1, 2): "keys of any kind"}, "array": slice(2, 9), "place": Placement(
            slice(0, 3), slice(1, 5), 2.5e-5
        ),
        "arrays": [
            np.array(2.5), np.empty((0, 4)), np.empty((3, 0), dtype=bool), order, order.transpose(2, 0, 1),
            np.asfortranarray(order), order[:, ::2], np.broadcast_to(order[0, 0], (5, 4)), np.array([np.nan, -0.0]),
            np.array([True, False]), np.arange(3, dtype=np.int32), np.arange(3, dtype=np.uint64), order.astype("f4"),
        ],
    }  # fmt: skip


def test_pack__gives_back_every_bit_and_the_order_in_memory(tmp_path):
    pack(tmp_path / "a", everything(), CLASSES, about="all of it")
    found, wanted = unpack(tmp_path / "a", CLASSES), everything()
    assert bits(found) == bits(wanted)
    for one, other in zip(found["arrays"], wanted["arrays"], strict=True):
        assert one.flags.writeable
        assert one.flags.f_contiguous >= other.flags.f_contiguous
        assert np.array_equal(np.argsort(one.strides), np.argsort(other.strides)) or 0 in (*other.shape, *other.strides)
    assert about(tmp_path / "a") == "all of it"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_pack__large_files_are_mapped_and_writing_to_them_leaves_the_file(tmp_path, rng):
    held = {"big": rng.random(MAPPED // 8 + 3), "other": rng.random(5)}
    pack(tmp_path / "a", held, {})
    found = unpack(tmp_path / "a", {})
    assert not found["big"].flags.owndata
    assert found["other"].ctypes.data % ALIGN == 0
    found["big"][:] = 0.0
    assert bits(unpack(tmp_path / "a", {})) == bits(held)


def test_pack__given_values_are_not_stored(tmp_path):
    one, other = object(), object()
    pack(tmp_path / "a", [one, (one,), other], {}, {"first": one, "second": other})
    new = object()
    assert unpack(tmp_path / "a", {}, {"first": new, "second": 5}) == [new, (new,), 5]
    with pytest.raises(ParameterError, match="its content is not the expected one"):
        unpack(tmp_path / "a", {})


def test_pack__refuses_what_it_cannot_describe_and_leaves_nothing(tmp_path):
    for value in (object(), {1}, np.array(["text"]), np.array([object()]), Placement(slice(1), slice(1), 1.0)):
        with pytest.raises(TypeError, match="cannot be packed"):
            pack(tmp_path / "a", value, {})
    assert list(tmp_path.iterdir()) == []


def test_damage__of_any_byte_or_length_is_found(tmp_path):
    path = tmp_path / "a"
    pack(path, {"x": np.arange(3.0), "y": np.arange(5, dtype=np.int32)}, {})
    sound = path.read_bytes()
    assert len(sound) < 600
    for at in range(len(sound)):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << at % 8]) + sound[at + 1 :])
        with pytest.raises(ParameterError):
            unpack(path, {})
    for end in (*range(0, len(sound), 7), -8, -1):
        path.write_bytes(sound[:end])
        with pytest.raises(ParameterError):
            unpack(path, {})
    path.write_bytes(sound + b"\0")
    with pytest.raises(ParameterError, match="checksum"):
        unpack(path, {})


def test_damage__of_a_mapped_file_is_found(tmp_path, rng):
    path = tmp_path / "a"
    pack(path, rng.random(MAPPED // 8), {})
    sound = path.read_bytes()
    for at in rng.integers(0, len(sound), 8):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 16]) + sound[at + 1 :])
        with pytest.raises(ParameterError):
            unpack(path, {})


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"value": {"array": 0}, "arrays": [["<f8", [10**12], [0], 0]]}, "ends after the end of the file"),
        ({"value": {"array": 0}, "arrays": [["<f8", [-1], [0], 0]]}, "shape"),
        ({"value": {"array": 0}, "arrays": [["<f8", [1], [1], 0]]}, "order"),
        ({"value": {"array": 0}, "arrays": [["|O", [1], [0], 0]]}, "its content is not the expected one"),
        ({"value": {"array": 1}, "arrays": []}, "its content is not the expected one"),
        ({"value": {"os.system": {"command": "false"}}, "arrays": []}, "its content is not the expected one"),
        ({"value": {"Placement": {"rows": 1}}, "arrays": []}, "its content is not the expected one"),
        ({"value": {"one": 1, "two": 2}, "arrays": []}, "its content is not the expected one"),
        ({"arrays": []}, "its content is not the expected one"),
        ([], "its content is not the expected one"),
    ],
)
def test_damage__files_with_a_sound_checksum_and_a_wrong_content(header, words, tmp_path):
    text = json.dumps(header).encode()
    body = MAGIC + struct.pack("<Q", len(text)) + text
    body += bytes(-len(body) % ALIGN) + bytes(ALIGN)
    (tmp_path / "a").write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(ParameterError, match=words):
        unpack(tmp_path / "a", CLASSES)


# the folder


def test_cache__a_damaged_file_is_one_sentence_and_is_replaced(cache, said):
    assert cache.get("a-1", {}) is None
    cache.put("a-1", [1, 2], {})
    assert cache.get("a-1", {}) == [1, 2]
    assert said == []
    path = cache.path("a-1")
    path.write_bytes(path.read_bytes()[:-5])
    assert cache.get("a-1", {}) is None
    assert len(said) == 1
    assert said[0].startswith(f"the cached file {path} is damaged: ")
    cache.put("a-1", [3], {})
    assert cache.get("a-1", {}) == [3]


def test_cache__keeps_its_limit_and_drops_what_was_used_longest_ago(tmp_path, said):
    value = np.zeros(1000)
    cache = Cache(tmp_path, limit=3 * 9000, say=said.append)
    for index, name in enumerate(("one", "two", "three")):
        cache.put(name, value, {})
        os.utime(cache.path(name), (1e9 + index, 1e9 + index))
    assert cache.get("one", {}) is not None  # used just now
    cache.put("run-1/4", value, {})
    assert sorted(each.path.name for each in cache.entries()) == ["one.pack", "run-1", "three.pack"]
    cache.put("large", np.zeros(4000), {})
    assert cache.get("large", {}) is None  # larger than all that may be kept: not kept, and nothing else went for it
    assert len(cache.entries()) == 3
    assert sum(each.size for each in cache.entries()) <= cache.limit
    assert cache.clear() > 20000
    assert cache.entries() == []
    assert said == []


def test_cache__forgets_what_a_process_left_half_written_long_ago(cache):
    cache.put("a", 1, {})
    old, new = cache.folder / ".new-old", cache.folder / ".new-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    cache.put("b", 2, {})
    assert (old.exists(), new.exists()) == (False, True)
    assert len(cache.entries()) == 2


def test_cache__that_cannot_be_written_says_so_once(tmp_path, said):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "kept", say=said.append)
    cache.put("a", 1, {})
    cache.put("a", 1, {})
    assert cache.get("a", {}) is None
    assert len(said) == 1
    assert "cannot be" in said[0]
    assert cache.entries() == []


def test_cache__writers_and_readers_at_once_see_whole_files(tmp_path, said):
    values = [np.full(20_000, float(k)) for k in range(4)]

    def work(index):
        mine = Cache(tmp_path, limit=800_000, say=said.append)  # less than all: they remove each other's
        for step in range(15):
            mine.put(f"n{step % 6}", values[index], {})
            found = mine.get(f"n{(step + 3) % 6}", {})
            if found is not None and len(set(found)) != 1:
                said.append("torn")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert said == []
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


# programs and chips


@pytest.mark.parametrize("layout", [*LAYOUTS, "columns"])
def test_written__from_the_cache_is_the_same_to_the_last_bit(layout, cache, said, images, monkeypatch):
    net, chip_of = (gated if layout == "columns" else network)(np.random.default_rng(2)), hardware(layout)
    wanted = write(compile_network(net, chip_of, images[:4]), 1)
    assert any(matrix.column_gates for matrix in wanted.program.all_matrices) == (layout == "columns")
    first = written(compiled(net, chip_of, images[:4], cache), 1, cache)
    assert said == []
    monkeypatch.setattr(reuse, "compile_network", None)
    monkeypatch.setattr(reuse, "write", None)
    done = []
    again = written(compiled(net, chip_of, images[:4], cache), 1, cache, progress=done.append)
    assert bits(first) == bits(wanted) == bits(again)
    assert done == [sum(len(matrix.tiles) for matrix in wanted.program.all_matrices)]
    for precision in ("single", "double"):
        results = [run(each, images[:9], precision=precision) for each in (wanted, again)]
        assert bits(results[0].logits) == bits(results[1].logits)
        assert price(results[0]).to_json() == price(results[1]).to_json()


def test_written__without_a_cache_is_what_write_gives(program, chip, images):
    assert bits(written(program, 3, None)) == bits(chip)
    assert bits(compiled(program.network, program.hardware, images[:4], None)) == bits(program)


def test_written__a_damaged_chip_is_written_anew(program, chip, cache, said):
    written(program, 3, cache)
    (path,) = cache.folder.glob("chip-*")
    sound = bytearray(path.read_bytes())
    sound[len(sound) // 2] ^= 4
    path.write_bytes(sound)
    assert bits(written(program, 3, cache)) == bits(chip)
    assert len(said) == 1
    assert "damaged" in said[0]
    assert bits(written(program, 3, cache)) == bits(chip)
    assert len(said) == 1


def test_names__follow_everything_that_a_result_depends_on(program, cache, images, monkeypatch):
    net, chip_of, calibration = program.network, program.hardware, images[:4]

    def make(net=net, chip_of=chip_of, calibration=calibration, seed=0):
        written(compiled(net, chip_of, calibration, cache), seed, cache)
        return len(list(cache.folder.glob("program-*"))), len(list(cache.folder.glob("chip-*")))

    assert make() == (1, 1)
    assert make() == (1, 1)
    assert make(seed=1) == (1, 2)
    fc = replace(net.layers[-1], weight=np.nextafter(net.layers[-1].weight, 9.0))
    assert make(net=Network(net.name, net.input_shape, net.classes, (*net.layers[:-1], fc))) == (2, 3)
    assert make(chip_of=chip_of.with_values(["noise.observation_time=2.0"])) == (2, 4)  # nothing to compile
    assert make(chip_of=chip_of.with_values(["wires.r_row=3.0"])) == (3, 5)
    assert make(calibration=0.5 * calibration) == (4, 6)
    monkeypatch.setattr(reuse, "code_version", lambda: "later")
    assert make() == (5, 7)


def test_code_version__is_that_of_every_source(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    for name in ("devices", "crossbar", "mapping"):
        (root / name).mkdir(parents=True)
        (root / name / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(digests, "__file__", str(root / "mapping" / "workflow" / "digests.py"))
    versions = [digests.code_version.__wrapped__()]
    for name in ("devices", "crossbar", "mapping"):
        (root / name / "a.py").write_text("x = 2\n")
        versions.append(digests.code_version.__wrapped__())
    assert len(set(versions)) == 4
    assert digests.code_version.__wrapped__() == versions[-1]


def test_digest__tells_values_apart_that_look_alike():
    ones = np.ones(4)
    values = [
        1, 1.0, True, "1", (1,), ((1,),), (1, 1), None, ones, ones.astype("f4"), ones.reshape(2, 2), ones[:3], {1: 1},
        -0.0, 0.0, hardware(), hardware("stacked"), ("ab", "c"), ("a", "bc"),
    ]  # fmt: skip
    assert len({digest(value) for value in values}) == len(values)
    assert digest(ones.reshape(2, 2).T) == digest(ones.reshape(2, 2))


# exact outputs


def test_exact__is_computed_once_for_all_chips_of_a_network(cache, said, chip, images, monkeypatch):
    program = chip.program
    plain, computed = reuse.exact_outputs, []
    monkeypatch.setattr(reuse, "exact_outputs", lambda *given, **named: computed.append(1) or plain(*given, **named))
    first = reuse.exact(program, images, "single", cache)
    other = compile_network(program.network, hardware("parallel", "wires.r_row=3.0"), images[:4])
    again = reuse.exact(other, images, "single", cache)
    assert bits(first) == bits(again) == bits(exact_outputs(program, images))
    assert len(computed) == 1
    for changed in ((program, images[1:], "single"), (program, images, "double")):
        reuse.exact(*changed, cache)
    assert len(computed) == 3
    assert bits(reuse.exact(program, images, "single", None)) == bits(first)
    assert of_run(run(chip, images, exact=first)) == of_run(run(chip, images))
    assert said == []


def test_run__refuses_exact_outputs_of_other_images(chip, images):
    with pytest.raises(ParameterError, match="exact must have shape"):
        run(chip, images, exact=np.zeros((len(images) + 1, len(chip.program.network.classes))))


# runs


class Stopped(Exception):  # noqa: N818
    pass


def stop_after(count):
    """A progress function that stops the run after so many batches."""
    calls = []

    def progress(_):
        calls.append(None)
        if len(calls) == count:
            raise Stopped

    return progress


def of_run(result):
    labels = np.zeros(len(result.logits), dtype=np.int64)
    return bits([result.logits, result.exact, result.layers]), price(result, labels).to_json()


@pytest.mark.parametrize("layout", ["parallel", "reprogram", "columns"])
def test_run__stopped_anywhere_goes_on_to_the_same_report(layout, cache, said, images, monkeypatch):
    net, chip_of = (gated if layout == "columns" else network)(np.random.default_rng(6)), hardware(layout)
    made = write(compile_network(net, chip_of, images[:4]), 0)
    wanted = of_run(run(made, images, seed=2, batch=3))
    rng = np.random.default_rng(0)
    plain, started = inference._batch, []
    monkeypatch.setattr(inference, "_batch", lambda *given: started.append(given[2]) or plain(*given))
    kept = KeptRun(cache, made, images, seed=2)
    for threads in (1, 2):
        before = worker_threads.threads()
        worker_threads.set_threads(min(threads, before))
        try:
            for count in rng.integers(1, 4, 2):
                with pytest.raises(Stopped):
                    run(made, images, seed=2, batch=3, kept=kept, progress=stop_after(int(count)))
                assert kept.images >= 3 * count
            ready = kept.images
            started.clear()
            assert of_run(run(made, images, seed=2, batch=3, kept=kept)) == wanted
        finally:
            worker_threads.set_threads(before)
        assert sum(min(3, len(images) - start) for start in started) == len(images) - ready
        assert kept.images == len(images)
        assert of_run(run(made, images, seed=2, batch=3, kept=KeptRun(cache, made, images, seed=2))) == wanted
        kept.remove()
        assert kept.images == 0
    assert said == []


def test_run__a_damaged_part_is_run_again(chip, cache, said, images):
    kept = KeptRun(cache, chip, images)
    wanted = of_run(run(chip, images, kept=kept))
    parts = sorted((cache.folder / kept.name).iterdir())
    parts[0].write_bytes(parts[1].read_bytes()[:-1])
    parts[2].write_bytes(b"")
    assert of_run(run(chip, images, kept=kept)) == wanted
    assert len(said) == 2
    assert all("is damaged" in each for each in said)


def test_run__a_part_of_another_batch_is_not_taken(chip, cache, images):
    kept = KeptRun(cache, chip, images)
    wanted = of_run(run(chip, images, kept=kept))
    parts = sorted((cache.folder / kept.name).iterdir())
    parts[-1].write_bytes(parts[0].read_bytes())  # six images where the last batch has five
    assert of_run(run(chip, images, kept=kept)) == wanted


def test_run__everything_else_starts_afresh(chip, cache, images, monkeypatch):
    names = {KeptRun(cache, chip, images).name}
    other = images.copy()
    other[-1, -1, -1, -1] += 1e-9
    names |= {
        KeptRun(cache, chip, images, seed=1).name,
        KeptRun(cache, chip, images, precision="double").name,
        KeptRun(cache, chip, other).name,
        KeptRun(cache, chip, images[:-1]).name,
        KeptRun(cache, replace(chip, seed=4), images).name,
    }
    monkeypatch.setattr(reuse, "code_version", lambda: "later")
    names.add(KeptRun(cache, chip, images).name)
    assert len(names) == 7
