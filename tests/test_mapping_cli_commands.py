"""The command: output and files, and one-sentence errors with exit status 2 for wrong input."""

import csv
import html
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from devices.numerics import worker_threads
from mapping.cli.command import main
from mapping.hardware.description_files import hardware_names
from mapping.inference import running as inference
from mapping.networks import GlobalAveragePool, Linear, Network, save_network
from mapping.networks.models import ZOO, model_names
from mapping.presentation.quantities import operations, si

QUICK = ["--set", "tile.rows=32", "--set", "tile.columns=32"]


# what it does


def test_estimate__prints_prices_and_no_errors(crossgate, model):
    status, out, err = crossgate("estimate", model, "--images", 4, "--out", "o", *QUICK)
    assert (status, err) == (0, "")
    for words in ("small on adaptive2d, estimated", "conv", "fc", "TOPS/W", "o/report.json, report.csv", "mm²"):
        assert words in out
    assert "accuracy" not in out
    assert "nan" not in out
    assert sorted(path.name for path in Path("o").iterdir()) == ["report.csv", "report.json"]
    status, out, err = crossgate("estimate", model, "--images", 4, "--json", *QUICK)
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads(Path("o/report.json").read_text())
    assert json.loads(out)["layers"][0]["error"] == "nan"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--images", 0), "--images must be a whole number ≥ 1, got '0'"),
        (("--set", "adc.bits=99"), "adc.bits must be"),
        (("--out", "/dev/null/x"), "cannot write to /dev/null/x"),
    ],
)
def test_estimate__refuses_in_one_sentence(crossgate, model, words, sentence):
    status, out, err = crossgate("estimate", model, *words)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_run__writes_and_prints(crossgate, model):
    status, out, err = crossgate("run", model, "--chip", "two_terminal", "--images", 12, "--out", "o", *QUICK)
    assert status == 0
    assert err == ""
    for words in (
        "small on two_terminal, seed 0", "conv", "fc", "accuracy", "12 images", "TOPS/W", "o/report.json", "mm²",
        "GPUs at their peak", "brain's 20 fJ", "limited by", "adc", "drivers", "for a single image",
    ):  # fmt: skip
        assert words in out
    written = sorted(path.name for path in Path("o").iterdir())
    assert written == ["layers.png", "predictions.csv", "report.csv", "report.html", "report.json"]
    rows = list(csv.DictReader(Path("o/predictions.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == [str(n) for n in range(12)]
    held = json.loads(Path("o/report.json").read_text())
    assert (held["model"], held["chip"], held["seed"], held["images"]) == ("small", "two_terminal", 0, 12)
    for column, key in (("chip", "accuracy_chip"), ("exact", "accuracy_exact")):
        assert np.mean([row[column] == row["label"] for row in rows]) == pytest.approx(held[key])
    assert held["configuration"]["tile"]["rows"] == 32
    assert shlex.split(held["command"])[:5] == ["crossgate", "run", model, "--chip", "two_terminal"]
    assert held["command"] in html.unescape(Path("o/report.html").read_text())
    latencies = [si(held[key], "s") for key in ("latency_s_per_image", "latency_whole_s_per_image")]
    assert (f"{latencies[1]} if every layer waited" in " ".join(out.split())) == (latencies[0] != latencies[1])


def test_run__json_is_exactly_the_files_text(crossgate, model):
    status, out, err = crossgate("run", model, "--images", 5, "--json", "--seed", 3)
    assert (status, err) == (0, "")
    assert out == Path("crossgate-out/report.json").read_text(encoding="utf-8")
    assert json.loads(out)["seed"] == 3


def test_run__again_is_the_same_report(crossgate, model):
    first, again, other = (
        crossgate("run", model, "--images", 5, "--json", "--seed", seed, "--out", f"o{k}")[1]
        for k, seed in enumerate((7, 7, 8))
    )
    assert first == again
    assert json.loads(first)["layers"] != json.loads(other)["layers"]


def test_run__nonlinear_fidelity_solves_reads_again(crossgate, model, tmp_path):
    held = json.loads(
        crossgate("run", model, "--images", 5, "--json", "--fidelity", "nonlinear", "--out", tmp_path / "out")[1]
    )
    linear = json.loads(crossgate("run", model, "--images", 5, "--json", "--out", tmp_path / "linear")[1])
    assert held["layers"] == linear["layers"]
    assert linear["fidelity"] == []
    assert [each["layer"] for each in held["fidelity"]] == ["conv", "fc"]
    for each in held["fidelity"]:
        assert 0.0 <= each["arithmetic"] < 1e-4
        assert 0.0 < each["nonlinear"] < 0.01
    assert "<h2>Levels of fidelity</h2>" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_run__ideal_fidelity_computes_the_exact_network(crossgate, model):
    layers = json.loads(crossgate("run", model, "--images", 5, "--json", "--fidelity", "ideal")[1])["layers"]
    assert max(layer["error"] for layer in layers) < 1e-10
    linear = json.loads(crossgate("run", model, "--images", 5, "--json", "--fidelity", "linear")[1])["layers"]
    assert min(layer["error"] for layer in linear) > 1e-3


def test_run__settings_reach_the_chip(crossgate, model):
    out = crossgate("run", model, "--images", 2, "--json", "--set", "wires.r_row=2.5", "--set", "adc.bits=ideal")[1]
    held = json.loads(out)["configuration"]
    assert held["wires"]["r_row"] == 2.5
    assert held["adc"]["bits"] is None


def test_run__from_the_cache_and_without_is_the_same_report(crossgate, model, tmp_path):
    words = ("run", model, "--images", 6, "--json", *QUICK)
    plain = crossgate(*words, "--no-cache")
    assert not (tmp_path / "cache").exists()
    assert crossgate(*words) == plain
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "cache" / "results").iterdir())
    assert kept == ["chip", "exact", "program"]  # nothing of the run, as its report is written
    assert crossgate(*words) == plain
    (chip,) = (tmp_path / "cache" / "results").glob("chip-*")
    chip.write_bytes(chip.read_bytes()[:-100])
    status, out, err = crossgate(*words)
    assert (status, out) == plain[:2]
    assert re.fullmatch(
        r"crossgate: the cached file \S+ is damaged: its checksum differs; the result is computed again\n", err
    )


def test_cache__lists_and_clears(crossgate, model, tmp_path):
    assert "0 bytes of at most 8 GB" in crossgate("cache")[1]
    crossgate("run", model, "--images", 2, *QUICK)
    status, out, err = crossgate("cache")
    assert (status, err) == (0, "")
    assert "small compiled for adaptive2d" in out
    assert "small on adaptive2d, chip 0" in out
    assert str(tmp_path / "cache" / "results") in out
    status, out, _ = crossgate("cache", "--clear")
    assert status == 0
    assert re.search(r"[\d.]+ kB removed from ", out)
    assert not (tmp_path / "cache" / "results").exists()


#: what a shell gives to jobs in its background; children inherit it
DEAF = pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="started with SIGINT ignored")


@pytest.mark.parametrize("name", [pytest.param("SIGINT", marks=DEAF), "SIGTERM"])
def test_run__stopped_by_a_signal_goes_on(name, crossgate, model, monkeypatch, tmp_path):
    words = ("run", model, "--images", 9, "--json", *QUICK)  # batches of three: 3, 3, 3
    plain = crossgate(*words, "--no-cache")
    batch, started = inference._batch, []

    def stopping(chip, images, start, *rest):
        started.append(start)
        if len(started) == 2:
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(0.2)  # the main thread takes the signal while this batch runs, not two short batches later
        return batch(chip, images, start, *rest)

    monkeypatch.setattr(inference, "_batch", stopping)
    before = worker_threads.threads()
    worker_threads.set_threads(1)
    try:
        status, out, err = crossgate(*words, "--out", "stopped")
        assert (status, out) == (130, "")
        found = re.fullmatch(
            r"crossgate: stopped; (\d) of 9 images are done: the same command continues from there\n", err
        )
        assert found
        done = int(found[1])
        assert 0 < done < 9
        assert not Path("stopped").exists()
        assert "a run of 9 images" in crossgate("cache")[1]
        started.clear()
        monkeypatch.setattr(inference, "_batch", lambda *given: started.append(given[2]) or batch(*given))
        assert crossgate(*words) == plain
        assert 3 * len(started) == 9 - done
        assert not list((tmp_path / "cache" / "results").glob("run-*"))
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        worker_threads.set_threads(before)


def test_run__stopped_with_nothing_kept_says_so(crossgate, model, monkeypatch):
    def stopping(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(inference, "_batch", stopping)
    status, _, err = crossgate("run", model, "--images", 2, "--no-cache", *QUICK)
    assert status == 130
    assert err == "crossgate: stopped; 0 of 2 images are done: nothing is kept because of --no-cache\n"


@DEAF
def test_run__a_process_stopped_from_outside_goes_on(crossgate, model, tmp_path):
    """A process of its own whose later batches take long gets the signal of Ctrl-C while it computes."""
    words = ["run", model, "--images", "12", "--json", *QUICK]
    slow = (
        "import time; from mapping.cli.command import main; from mapping.inference import running\n"
        "batch = running._batch\n"
        "def late(*given):\n    time.sleep(given[2] / 4)\n    return batch(*given)\n"
        "running._batch = late; main()"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", slow, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    held, patience = tmp_path / "cache" / "results", time.monotonic() + 120
    while not list(held.glob("run-*/*.pack")) and running.poll() is None and time.monotonic() < patience:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (130, "")
    assert re.fullmatch(
        r"crossgate: stopped; [369] of 12 images are done: the same command continues from there\n", err
    )
    assert list(held.glob("run-*/*.pack"))
    assert crossgate(*words)[:2] == crossgate(*words, "--no-cache")[:2]


def test_run__takes_a_chip_file_and_a_data_folder(crossgate, model, tmp_path):
    (tmp_path / "mine.toml").write_text('base = "two_terminal"\n[tile]\nrows = 16\n')
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "images.npy", rng.integers(0, 255, (9, 1, 8, 8)).astype(np.uint8))
    np.save(data / "labels.npy", rng.integers(0, 10, 9))
    status, out, _ = crossgate("run", model, "--chip", tmp_path / "mine.toml", "--data", data, "--json")
    assert status == 0
    held = json.loads(out)
    assert (held["chip"], held["images"], held["configuration"]["tile"]["rows"]) == ("mine", 9, 16)


def test_version__models__chips(crossgate):
    status, out, _ = crossgate("--version")
    assert status == 0
    assert re.fullmatch(r"crossgate \d+\.\d+\.\d+\S*\n", out)
    status, out, _ = crossgate("models")
    assert status == 0
    assert all(name in out for name in model_names())
    assert re.search(r"dvgg-digits +digits +\d+ +[\d,]+ +9\d\.\d\d%", out)
    status, out, _ = crossgate("chips")
    assert status == 0
    assert all(name in out for name in hardware_names())
    assert "128 × 128" in out


def test_help__names_every_option(crossgate):
    status, out, _ = crossgate("run", "--help")
    assert status == 0
    for option in ("--chip", "--set", "--data", "--images", "--seed", "--fidelity", "--out", "--json"):
        assert option in out
    status, out, err = crossgate()
    assert status == 2
    assert "run" in out + err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 J"), (1.0, "1 J"), (0.9996, "1 J"), (4.65e-8, "46.5 nJ"), (1.64e-5, "16.4 µJ"), (5e-15, "5 fJ"),
     (5e-18, "5 aJ"), (5e-20, "5e-20 J"), (123456.0, "123 kJ"), (999.6, "1 kJ"), (2e12, "2e+12 J")],
)  # fmt: skip
def test_si__writes_three_digits(value, text):
    assert si(value, "J") == text
    assert si(5000.0, "s") == "1.39 hours"


@pytest.mark.parametrize(("count", "text"), [(2624, "2,620"), (99_000, "99,000"), (2.24e6, "2.24 M"), (3e9, "3,000 M")])
def test_operations__small_numbers_are_no_parts_of_a_million(count, text):
    assert operations(count) == text


# what it refuses

BAD = {
    "model unknown": (["run", "dvgg-digit"], "unknown model 'dvgg-digit'", "nearest valid: dvgg-digits"),
    "model file missing": (["run", "none.npz"], "there is no network file none.npz"),
    "chip unknown": (["run", "--chip", "adaptive2"], "unknown chip 'adaptive2'", "nearest valid: adaptive2d"),
    "chip file missing": (["run", "--chip", "none.toml"], "there is no chip description none.toml"),
    "negative resistance": (["run", "--set", "wires.r_row=-1"], "r_row must be ≥ 0 Ω, got -1 Ω"),
    "unknown key": (["run", "--set", "wires.r_raw=1"], "'wires.r_raw'", "nearest valid: wires.r_row"),
    "unknown section": (["run", "--set", "wire.r_row=1"], "'wire'", "nearest valid: wires"),
    "no value": (["run", "--set", "wires.r_row"], "takes SECTION.KEY=VALUE", "'wires.r_row'"),
    "no number": (["run", "--set", "wires.r_row=two"], "r_row must be a real number in Ω, got 'two'"),
    "fidelity": (["run", "--fidelity", "exact"], "--fidelity must be one of ideal, linear, nonlinear, got 'exact'"),
    "images not whole": (["run", "--images", "3.5"], "--images must be a whole number ≥ 1, got '3.5'"),
    "images none": (["run", "--images", "0"], "--images must be a whole number ≥ 1, got '0'"),
    "images too many": (["run", "--images", "99999"], "450 images, 99999 were asked for"),
    "seed": (["run", "--seed", "-1"], "--seed must be a whole number ≥ 0, got '-1'"),
    "data missing": (["run", "--data", "nowhere"], "there is no folder nowhere", "images.npy"),
    "gate missing": (["run", "dvgg-digits", "--chip", "two_terminal"], "conv2 is a dynamic layer", "'two_terminal'"),
    "option unknown": (["run", "--imags", "3"], "--imags", "see crossgate --help"),
    "command unknown": (["runn"], "'runn'", "see crossgate --help"),
    "word too many": (["run", "vgg-digits", "more"], "more", "see crossgate --help"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input__is_one_sentence(case, crossgate, refused):
    words, *said = BAD[case]
    refused(crossgate(*words), *said)


def test_bad_input__chip_files(crossgate, tmp_path, refused):
    path = tmp_path / "mine.toml"
    for text, words in (
        ("[wires]\nr_rwo = 1.0", ("'wires.r_rwo'", "nearest valid: wires.r_row", "mine.toml")),
        ("[wires]\nr_row = -1.0", ("r_row must be ≥ 0 Ω, got -1 Ω", "mine.toml")),
        ("[wires\n", ("not valid TOML",)),
        (f"base = '{path}'", ("is its own base",)),
    ):
        path.write_text(text)
        refused(crossgate("run", "--chip", path), *words)


def test_bad_input__nan_in_a_model_file(crossgate, model, tmp_path, refused):
    """A weight of a sound file is overwritten by NaN."""
    bad = tmp_path / "bad.npz"
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "0.weight.npy":
                array = np.load(io.BytesIO(data))
                array[1, 0, 2, 1] = np.nan
                held = io.BytesIO()
                np.save(held, array)
                data = held.getvalue()
            target.writestr(name, data)
    refused(crossgate("run", bad), "bad.npz is not a sound network file", "conv.weight", "no nan", "(1, 0, 2, 1)")


@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_bad_input__damaged_model_files(damage, crossgate, tmp_path, refused):
    bad = tmp_path / "bad.npz"
    sound = (ZOO / "vgg-digits.npz").read_bytes()
    bad.write_bytes({"text": b"weights", "empty": b"", "cut": sound[: len(sound) // 2]}[damage])
    refused(crossgate("run", bad), "bad.npz is not a sound network file")


def test_bad_input__cifar10_offline(crossgate, tmp_path, monkeypatch, refused):
    monkeypatch.setenv("CROSSGATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "mapping.data.cifar10.ADDRESS", "http://127.0.0.1:9/cifar-10-binary.tar.gz"
    )  # nobody listens there
    layers = (GlobalAveragePool("pool", ("input",)), Linear("fc", ("pool",), np.eye(3)))
    path = tmp_path / "colours.npz"
    save_network(Network("colours", (3, 32, 32), ("r", "g", "b"), layers, {"dataset": "cifar10"}), path)
    refused(
        crossgate("run", path),
        "download http://127.0.0.1:9/cifar-10-binary.tar.gz",
        str(tmp_path / "cache"),
        "(--data)",
    )


def test_bad_input__data_folders(crossgate, model, tmp_path, refused):
    data = tmp_path / "data"
    data.mkdir()
    refused(crossgate("run", model, "--data", data), "has no images.npy and no labels.npy", "expected images.npy with")
    np.save(data / "labels.npy", np.zeros(4, dtype=int))
    np.save(data / "images.npy", np.zeros((4, 1, 9, 8), dtype=np.uint8))
    refused(crossgate("run", model, "--data", data), "have shape (1, 9, 8), but small takes (1, 8, 8)")
    np.save(data / "images.npy", np.zeros((4, 8), dtype=np.uint8))
    refused(crossgate("run", model, "--data", data), "must hold (n, channels, height, width) pixels")
    np.save(data / "images.npy", np.full((4, 1, 8, 8), np.nan))
    refused(crossgate("run", model, "--data", data), "must hold float pixels from 0 to 1")


def test_bad_input__unwritable_out(crossgate, model, tmp_path, refused):
    """A path below a regular file, which nobody can write to, root included."""
    (tmp_path / "file").write_text("mine")
    refused(crossgate("run", model, "--out", tmp_path / "file" / "below"), "cannot write to", "Not a directory")
    assert (tmp_path / "file").read_text() == "mine"


def test_bad_input__unwritable_out_is_said_before_anything_is_computed(
    crossgate, model, tmp_path, monkeypatch, refused
):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("mapping.cli.simulation._simulate", lambda *arguments: pytest.fail("computed first"))
    refused(crossgate("run", model, "--out", tmp_path / "file" / "below"), "cannot write to")


def test_failed_run__leaves_the_reports_of_the_last_one(crossgate, model):
    assert crossgate("run", model, "--images", 2)[0] == 0
    before = {path.name: path.read_bytes() for path in Path("crossgate-out").iterdir()}
    assert crossgate("run", model, "--images", 2, "--set", "wires.r_driver=[1.0,2.0]")[0] == 2
    assert {path.name: path.read_bytes() for path in Path("crossgate-out").iterdir()} == before


# as the shell sees it


def shell(*words, cwd):
    command = Path(sys.executable).with_name("crossgate")
    start = [str(command)] if command.exists() else [sys.executable, "-m", "mapping.cli"]
    return subprocess.run([*start, *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONWARNINGS": "error::SyntaxWarning"})  # fmt: skip


def test_shell__refusals_have_status_2_and_no_traceback(tmp_path):
    for words, said in (
        (["run", "nothing"], "unknown model 'nothing'"),
        (["run", "--set", "wires.r_row=-1"], "r_row must be ≥ 0 Ω"),
    ):
        done = shell(*words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"crossgate: [^\n]+\n", done.stderr)
        assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_shell__json_alone_is_on_stdout(tmp_path, model):
    done = shell("run", model, "--images", 3, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["images"] == 3


def test_import__pulls_in_nothing_heavy():
    """The packages load nothing before it is used; a run loads no plots, no terminal tables, no training."""
    heavy = ("matplotlib", "torch", "rich", "typer", "pandas", "sklearn", "joblib", "onnx", "jinja2")
    for code, names in (
        ("import mapping, crossbar, devices", (*heavy, "numpy", "scipy", "numba")),
        ("import mapping; mapping.compile_network, mapping.write, mapping.run", heavy),
        ("from mapping.cli import command", ("matplotlib", "torch", "pandas", "onnx", "numpy", "scipy", "numba")),
    ):
        program = f"import sys; {code}; print([name for name in {names} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def status_of(command):
    try:
        command()
    except SystemExit as stopped:
        return stopped.code
    return 0


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_main__an_output_that_was_closed_is_no_error(closed, monkeypatch):
    """For `crossgate … >&-` Python has None in the place of the stream."""
    for words, status in ((["--version"], 0), (["chips", "nothing-like-it"], 2)):
        monkeypatch.setattr(sys, closed, None)
        monkeypatch.setattr(sys, "argv", ["crossgate", *words])
        assert status_of(main) == status
        getattr(sys, closed).close()
