"""Scores of a run: places of labels, top-5 accuracy, errors of outputs that are numbers; from the data to the study."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t

from devices.errors import ParameterError
from mapping.data.datasets import Dataset, load_dataset
from mapping.inference.scoring import NUMBERS, Scores, predictions, ranks, scores
from mapping.inference.traces import RunResult
from mapping.networks import GlobalAveragePool, Linear, Network, save_network
from mapping.presentation.intervals import wilson
from mapping.presentation.sample_intervals import root_mean_square
from mapping.report.comparing import paired_errors
from mapping.studies.results import read_results
from mapping.workflow.images import images_of, training_images

QUICK = ["--chip", "two_terminal", "--set", "tile.rows=16", "--set", "tile.columns=16"]


def result(chip, exact):
    """A run's outputs without the run."""
    names = tuple(f"out{k}" for k in range(chip.shape[1]))
    network = SimpleNamespace(program=SimpleNamespace(network=SimpleNamespace(classes=names)))
    return RunResult(network, chip, exact, (), 0, np.zeros((0, 1, 1, 1)))


# classes


def test_ranks__by_hand():
    outputs = np.array([[0.1, 0.7, 0.2], [3.0, 3.0, 3.0], [-1.0, -2.0, -0.5]])
    assert ranks(outputs, np.array([2, 1, 1])).tolist() == [2, 2, 3]


def test_ranks__first_is_what_argmax_finds(rng):
    outputs = rng.integers(0, 4, (200, 12)).astype(float)  # with many equal ones
    labels = rng.integers(0, 12, 200)
    assert np.array_equal(ranks(outputs, labels) == 1, outputs.argmax(1) == labels)
    ordered = np.argsort(-outputs, axis=1, kind="stable")
    assert np.array_equal(np.argmax(ordered == labels[:, None], axis=1) + 1, ranks(outputs, labels))


@pytest.mark.parametrize(("classes", "shown"), [(9, False), (10, True)])
def test_top5__from_ten_classes_on(rng, classes, shown):
    outputs = rng.normal(size=(50, classes))
    labels = rng.integers(0, classes, 50)
    found = scores(result(outputs, outputs), labels)
    top = float(np.mean([label in np.argsort(row)[-5:] for row, label in zip(outputs, labels, strict=True)]))
    assert found.accuracy_chip == np.mean(outputs.argmax(1) == labels)
    assert (found.top5_chip, found.top5_exact) == ((top, top) if shown else (None, None))
    assert found.rms_error_chip is None


def test_predictions__have_the_places_of_labels(rng):
    outputs = rng.normal(size=(4, 3))
    columns, rows = predictions(result(outputs, -outputs), np.array([0, 1, 2, 0]))
    assert columns == ("image", "label", "chip", "exact", "chip_rank", "exact_rank")
    assert [row["chip_rank"] for row in rows] == ranks(outputs, np.array([0, 1, 2, 0])).tolist()
    assert [row["chip_rank"] + row["exact_rank"] for row in rows] == [4] * 4  # from the other end
    assert scores(result(outputs, outputs), None) == Scores()


# numbers


def test_errors__by_hand():
    chip, exact, labels = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 1.0], [3.0, 4.0]]), np.zeros((2, 2))
    labels[:] = [[1.0, 1.0], [3.0, 4.0]]
    found = scores(result(chip, exact), labels)
    assert found.accuracy_chip is None
    assert found.rms_error_chip == pytest.approx(np.sqrt(0.5))
    assert found.rms_error_exact == 0.0
    columns, rows = predictions(result(chip, exact), labels)
    assert columns == NUMBERS
    assert rows[1] == {"image": 0, "output": "out1", "label": "1", "chip": "2", "exact": "1"}
    assert len(rows) == 4


def test_root_mean_square__has_students_interval():
    squares = np.array([1.0, 2.0, 6.0])
    half = t.ppf(0.975, 2) * np.std(squares, ddof=1) / np.sqrt(3)
    assert root_mean_square(squares) == pytest.approx((np.sqrt(3.0), 0.0, np.sqrt(3.0 + half)))
    assert root_mean_square(np.array([4.0])) == (2.0, 0.0, np.inf)


def test_root_mean_square__covers_the_truth(rng):
    """Of squares of normal numbers 95 % of the intervals hold the variance, within four deviations of the count."""
    inside = 0
    for _ in range(400):
        _, low, high = root_mean_square(rng.normal(0.0, 2.0, 300) ** 2)
        inside += low <= 2.0 <= high
    assert abs(inside / 400 - 0.95) < 4.0 * np.sqrt(0.95 * 0.05 / 400)


def test_paired_errors__have_the_interval_of_the_difference(rng):
    first = rng.normal(0.0, 1.0, 500) ** 2
    second = 1.21 * first  # each error is a tenth larger
    found = paired_errors(first, second, rng)
    assert found.second == pytest.approx(1.1 * found.first)
    assert 0.0 < found.low < found.difference < found.high
    assert found.high - found.low < 0.03  # errors of one image go together
    assert paired_errors(first, first, rng)[3:] == (0.0, 0.0, 0.0)
    with pytest.raises(ParameterError, match="runs must be of the same images, at least one, got 500 and 3"):
        paired_errors(first, second[:3], rng)


@pytest.mark.parametrize("shape", [(4,), (4, 3), (3, 2), (4, 2, 1)])
def test_scores__refuse_numbers_of_another_shape(shape):
    with pytest.raises(ParameterError, match=r"labels that are numbers must have shape \(4, 2\), one for each output"):
        scores(result(np.zeros((4, 2)), np.zeros((4, 2))), np.zeros(shape))


# from the files on


@pytest.fixture
def regression(tmp_path):
    """A network with two outputs that are numbers, and a folder of images whose labels it nearly gives."""
    rng = np.random.default_rng(3)
    layers = (GlobalAveragePool("pool", ("input",)), Linear("fc", ("pool",), rng.normal(size=(2, 3))))
    network = Network("means", (3, 4, 4), ("left", "right"), layers)
    save_network(network, tmp_path / "means.npz")
    images = rng.random((12, 3, 4, 4))
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", (network.forward(images) + 0.01 * rng.normal(size=(12, 2))).astype(np.float32))
    return network, folder, tmp_path / "means.npz"


def test_data__labels_may_be_numbers(regression):
    network, folder, _ = regression
    data = load_dataset("images", "test", folder, limit=5, classes=network.classes)
    assert data.numbers
    assert data.labels.shape == (5, 2)
    assert data.classes == ("left", "right")
    np.save(folder / "labels.npy", np.arange(12.0))
    assert load_dataset("images", "test", folder).labels.shape == (12, 1)


@pytest.mark.parametrize("labels", [np.full(12, np.nan), np.zeros((12, 2, 2)), np.zeros((12, 0)), np.zeros((11, 2))])
def test_data__refuses_numbers_that_are_none(regression, labels):
    folder = regression[1]
    np.save(folder / "labels.npy", labels)
    with pytest.raises(ParameterError, match=r"labels.npy must hold (finite|one whole)"):
        load_dataset("images", "test", folder)


def test_data__numbers_must_fit_the_network(regression, tmp_path):
    network, folder, _ = regression
    np.save(folder / "labels.npy", np.zeros((12, 3)))
    with pytest.raises(ParameterError, match=r"a float for each of the 2 outputs, got float64 of shape \(12, 3\)"):
        images_of(network, folder)
    np.save(folder / "labels.npy", np.full(12, 7))
    with pytest.raises(ParameterError, match=r"labels in .* must be from 0 to 1, as there are 2 classes.* floats"):
        images_of(network, folder)
    np.save(folder / "labels.npy", np.zeros((12, 2)))
    with pytest.raises(ParameterError, match="must be classes to train with, got floats"):
        training_images(network, folder)
    with pytest.raises(ParameterError, match="labels of x must"):
        Dataset(np.zeros((2, 1, 2, 2)), np.zeros((3, 1)), ("a",), "x", "test", "here")


def test_run__of_numbers_reports_errors(regression, crossgate, tmp_path):
    network, folder, path = regression
    status, out, err = crossgate("run", path, "--data", folder, "--out", "one", *QUICK)
    assert (status, err) == (0, "")
    assert "accuracy" not in out
    assert "root mean square of output − label; 12 images, 95 % intervals" in " ".join(out.split())
    report = json.loads((tmp_path / "here" / "one" / "report.json").read_text())
    labels = np.load(folder / "labels.npy").astype(float)
    off = network.forward(np.load(folder / "images.npy")) - labels
    assert report["accuracy_chip"] is None
    assert report["rms_error_exact"] == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-4)
    low, high = report["rms_error_chip_interval"]
    assert low < report["rms_error_chip"] < high
    rows = list(csv.DictReader((tmp_path / "here" / "one" / "predictions.csv").read_text().splitlines()))
    assert [row["output"] for row in rows] == ["left", "right"] * 12
    assert [float(row["label"]) for row in rows] == pytest.approx(labels.ravel().tolist(), rel=1e-8)
    error = np.sqrt(np.mean([(float(row["chip"]) - float(row["label"])) ** 2 for row in rows]))
    assert error == pytest.approx(report["rms_error_chip"], rel=1e-6)
    page = (tmp_path / "here" / "one" / "report.html").read_text()
    assert "Error on the chip" in page
    assert "Accuracy" not in page

    crossgate("run", path, "--data", folder, "--out", "two", *QUICK, "--set", "adc.bits=4")
    other = json.loads((tmp_path / "here" / "two" / "report.json").read_text())
    found = json.loads(crossgate("compare", "one", "two", "--json")[1])
    assert found["chip"]["first"] == pytest.approx(report["rms_error_chip"], rel=1e-6)
    assert found["chip"]["second"] == pytest.approx(other["rms_error_chip"], rel=1e-6)
    assert found["exact"]["difference"] == 0.0
    assert found["top5"] is None
    assert "error, on the chip" in crossgate("compare", "one", "two")[1]


def test_study__of_numbers_ranks_by_their_error(regression, crossgate, tmp_path):
    _, folder, path = regression
    (tmp_path / "s.toml").write_text(
        f'model = "{path}"\ndata = "{folder}"\nchip = "two_terminal"\ncalibration = 4\n'
        'settings = { "tile.rows" = 8 }\n[[parameter]]\nkey = "adc.bits"\nvalues = [3, 8]\n'
    )
    status, out, err = crossgate("sweep", tmp_path / "s.toml", "--out", tmp_path / "o")
    assert (status, err) == (0, "")
    assert "error" in out
    assert "from " in out
    table = read_results(tmp_path / "o" / "results.csv")
    assert table.quality == "rms_error_chip"
    coarse, fine = (row["rms_error_chip"] for row in table.rows)
    assert coarse > fine > 0.0
    assert (tmp_path / "o" / "summary.csv").read_text().splitlines()[1].startswith("rms_error_chip,adc.bits")
    assert (tmp_path / "o" / "study.png").stat().st_size > 1000


def test_run__of_ten_classes_reports_the_top_five(crossgate, model, tmp_path):
    status, out, _ = crossgate("run", model, "--images", 30, "--out", "o", *QUICK)
    report = json.loads((tmp_path / "here" / "o" / "report.json").read_text())
    rows = list(csv.DictReader((tmp_path / "here" / "o" / "predictions.csv").read_text().splitlines()))
    assert status == 0
    assert report["top5_chip"] == np.mean([int(row["chip_rank"]) <= 5 for row in rows])
    assert report["accuracy_chip"] == np.mean([row["chip_rank"] == "1" for row in rows])
    assert "top-5" in out
    low, high = wilson(report["top5_chip"], 30)
    assert f"{report['top5_chip']:.2%} ({100 * low:.1f} … {100 * high:.1f} %)" in out
    assert "top-5:" in (tmp_path / "here" / "o" / "report.html").read_text()
    found = json.loads(crossgate("compare", "o", "o", "--json")[1])
    assert found["top5"]["first"] == report["top5_chip"]
