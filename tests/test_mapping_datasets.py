"""The bundled digits, folders of arrays, and CIFAR-10's binary layout."""

import re
import zlib

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping import datasets
from mapping.datasets import CIFAR10_CLASSES, Dataset, load_dataset

SIZES = {"train": 1047, "validation": 300, "test": 450}


@pytest.mark.parametrize("split", SIZES)
def test_digits__are_images_in_range_with_every_class_in_its_share(split):
    data = load_dataset("digits", split)
    assert len(data) == SIZES[split]
    assert data.images.shape == (SIZES[split], 1, 8, 8)
    assert data.images.dtype == np.float64
    assert data.images.min() == 0.0
    assert data.images.max() == 1.0
    assert data.classes == tuple("0123456789")
    assert (data.name, data.split) == ("digits", split)
    np.testing.assert_allclose(np.bincount(data.labels) / len(data), 0.1, atol=0.005)


def test_digits__the_splits_share_no_image_and_together_are_the_whole_file():
    with np.load(datasets.ZOO / "digits.npz", allow_pickle=False) as held:
        assert np.array_equal(np.sort(held["order"]), np.arange(1797))
        images, order = held["images"], held["order"]
    together = np.concatenate([load_dataset("digits", split).images for split in SIZES])
    np.testing.assert_array_equal(together[:, 0] * 16.0, images[order])


def test_digits__are_scikit_learn_s():
    sklearn = pytest.importorskip("sklearn.datasets")
    original = sklearn.load_digits()
    with np.load(datasets.ZOO / "digits.npz", allow_pickle=False) as held:
        np.testing.assert_array_equal(held["images"], original.images)
        np.testing.assert_array_equal(held["labels"], original.target)


def test_digits__look_like_their_labels():
    data = load_dataset("digits", "train")
    means = np.array([data.images[data.labels == digit].mean(axis=0) for digit in range(10)])
    test = load_dataset("digits", "test")
    distance = ((test.images[:, None] - means[None]) ** 2).sum(axis=(2, 3, 4))
    # nearest class mean: about nine in ten for this data, one in ten if labels and images did not belong together
    assert np.mean(distance.argmin(axis=1) == test.labels) > 0.85


def test_digits__the_same_call_gives_the_same_images_and_limit_the_first_of_them():
    one, other = load_dataset("digits", "test"), load_dataset("digits", "test", limit=7)
    np.testing.assert_array_equal(one.images[:7], other.images)
    np.testing.assert_array_equal(one.labels[:7], other.labels)


# folders


def fill(folder, images, labels):
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)


def test_folder__bytes_become_pixels(rng, tmp_path):
    images = rng.integers(0, 256, size=(5, 3, 4, 6)).astype(np.uint8)
    fill(tmp_path, images, np.array([0, 2, 1, 2, 0]))
    data = load_dataset("mine", "test", tmp_path)
    np.testing.assert_array_equal(data.images * 255.0, images)
    assert data.classes == ("0", "1", "2")
    assert (data.name, data.source) == ("mine", str(tmp_path))
    assert len(load_dataset("mine", "test", str(tmp_path), limit=2)) == 2


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_folder__of_floats_stands_for_a_known_name_too(rng, tmp_path, name):
    images = rng.uniform(size=(4, 1, 8, 8)).astype(np.float32)
    fill(tmp_path, images, np.array([0, 1, 1, 3], dtype=np.uint8))
    data = load_dataset(name, "validation", tmp_path)
    np.testing.assert_array_equal(data.images, images)
    assert data.classes == (CIFAR10_CLASSES if name == "cifar10" else tuple("0123456789"))


GOOD = np.zeros((3, 1, 4, 4))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((3, 4, 4)), [0, 1, 2], "pixels, uint8 or float, got float64 of shape (3, 4, 4)"),
        (np.zeros((3, 1, 4, 4), dtype=np.int64), [0, 1, 2], "got int64"),
        (np.zeros((0, 1, 4, 4)), [], "got float64 of shape (0, 1, 4, 4)"),
        (GOOD + 1.5, [0, 1, 2], "from 0 to 1, got 1.5 to 1.5"),
        (GOOD * np.nan, [0, 1, 2], "from 0 to 1, got nan"),
        (GOOD, [0, 1], "for each of the 3 images, got int64 of shape (2,)"),
        (GOOD, [0.0, 1.0, 2.0], "got float64 of shape (3,)"),
        (GOOD, [[0], [1], [2]], "of shape (3, 1)"),
        (GOOD, [0, -1, 2], "from 0 to 2, got -1 to 2"),
    ],
)
def test_folder__with_wrong_arrays_is_one_sentence(tmp_path, images, labels, words):
    fill(tmp_path, images, np.array(labels))
    with pytest.raises(ParameterError, match=re.escape(words)) as caught:
        load_dataset("mine", "test", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folder__labels_beyond_a_known_data_set(tmp_path):
    fill(tmp_path, GOOD, np.array([0, 10, 1]))
    with pytest.raises(ParameterError, match="labels of digits must be from 0 to 9, got 0 to 10"):
        load_dataset("digits", "test", tmp_path)


def test_folder__missing_empty_or_damaged(tmp_path):
    with pytest.raises(ParameterError, match=r"there is no folder .*nowhere; expected one with images\.npy"):
        load_dataset("mine", "test", tmp_path / "nowhere")
    with pytest.raises(ParameterError, match=r"has no images\.npy and no labels\.npy; expected images\.npy"):
        load_dataset("mine", "test", tmp_path)
    with pytest.raises(ParameterError, match=r"expected .* or the files data_batch_1\.bin to test_batch\.bin"):
        load_dataset("cifar10", "test", tmp_path)
    (tmp_path / "images.npy").write_bytes(b"nonsense")
    with pytest.raises(ParameterError, match=r"has no labels\.npy"):
        load_dataset("mine", "test", tmp_path)
    np.save(tmp_path / "labels.npy", np.zeros(3, dtype=int))
    with pytest.raises(ParameterError, match=r"images\.npy is not a sound \.npy array"):
        load_dataset("mine", "test", tmp_path)
    np.save(tmp_path / "images.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(ParameterError, match=r"images\.npy is not a sound \.npy array"):
        load_dataset("mine", "test", tmp_path)
    with (tmp_path / "images.npy").open("wb") as file:
        np.savez(file, x=GOOD)
    with pytest.raises(ParameterError, match="it is an archive"):
        load_dataset("mine", "test", tmp_path)


# CIFAR-10


def records(rng, count):
    return np.concatenate(
        [np.resize(np.arange(10), (count, 1)), rng.integers(0, 256, size=(count, 3072))], axis=1
    ).astype(np.uint8)


@pytest.fixture
def cifar10(rng, tmp_path):
    """Ten images of each class in five files, twenty for testing."""
    train, test = records(rng, 100), records(rng, 20)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i, part in enumerate(np.split(train, 5), start=1):
        (folder / f"data_batch_{i}.bin").write_bytes(part.tobytes())
    (folder / "test_batch.bin").write_bytes(test.tobytes())
    return tmp_path, train, test


def test_cifar10__planes_are_red_green_blue_row_by_row(cifar10):
    folder, _, test = cifar10
    data = load_dataset("cifar10", "test", folder)
    assert data.images.shape == (20, 3, 32, 32)
    assert data.images[3, 1, 5, 7] * 255.0 == test[3, 1 + 1024 + 5 * 32 + 7]
    np.testing.assert_array_equal(data.labels, test[:, 0])
    assert data.classes == CIFAR10_CLASSES
    np.testing.assert_array_equal(load_dataset("cifar10", "test", folder / "cifar-10-batches-bin").images, data.images)


def test_cifar10__validation_is_a_tenth_of_each_class_whatever_the_order(cifar10, tmp_path, rng):
    folder, train, _ = cifar10
    held_out = load_dataset("cifar10", "validation", folder)
    kept = load_dataset("cifar10", "train", folder)
    assert np.array_equal(np.bincount(held_out.labels), np.full(10, 1))
    assert np.array_equal(np.bincount(kept.labels), np.full(10, 9))
    for image, label in zip(held_out.images, held_out.labels, strict=True):
        sums = [zlib.crc32(record[1:].tobytes()) for record in train[train[:, 0] == label]]
        assert zlib.crc32(np.round(image * 255.0).astype(np.uint8).tobytes()) == min(sums)
    shuffled = rng.permutation(train)
    for i, part in enumerate(np.split(shuffled, 5), start=1):
        (tmp_path / "cifar-10-batches-bin" / f"data_batch_{i}.bin").write_bytes(part.tobytes())
    again = load_dataset("cifar10", "validation", folder)
    pixels = lambda data: {image.tobytes() for image in data.images}  # noqa: E731
    assert pixels(again) == pixels(held_out)


def test_cifar10__bad_files_are_one_sentence(cifar10):
    folder, _, test = cifar10
    place = folder / "cifar-10-batches-bin"
    (place / "test_batch.bin").write_bytes(test.tobytes()[:-1])
    with pytest.raises(ParameterError, match=r"test_batch\.bin must be whole records of 3073 bytes, but it is 61459"):
        load_dataset("cifar10", "test", folder)
    test[0, 0] = 10
    (place / "test_batch.bin").write_bytes(test.tobytes())
    with pytest.raises(ParameterError, match=r"a label in .* is 10"):
        load_dataset("cifar10", "test", folder)
    (place / "data_batch_3.bin").unlink()
    with pytest.raises(ParameterError, match=r"lacks data_batch_3\.bin"):
        load_dataset("cifar10", "train", folder)


def test_cifar10__without_a_folder_says_what_to_download_and_where_to_put_it():
    with pytest.raises(ParameterError, match=r"download https://\S+cifar-10-binary\.tar\.gz, unpack it, and give"):
        load_dataset("cifar10", "test")


# the rest


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load_dataset("mnist", "test"), "there is no data set 'mnist' without a data folder; bundled: digits"),
        (lambda: load_dataset("digits", "all"), "split must be one of train, validation, test, got 'all'"),
        (lambda: load_dataset("digits", "test", limit=0), "limit must be ≥ 1"),
        (lambda: load_dataset("digits", "test", limit=451), "has 450 images, 451 were asked for"),
        (lambda: Dataset(GOOD, np.array([0, 1]), ("a", "b"), "x", "test", "here"), "one whole number per image"),
        (lambda: Dataset(GOOD - 1.0, np.arange(3), tuple("abc"), "x", "test", "here"), "must be ≥ 0 everywhere"),
        (lambda: Dataset(GOOD + 2.0, np.arange(3), tuple("abc"), "x", "test", "here"), "must be at most 1, got 2"),
        (lambda: Dataset(GOOD[:0], np.arange(0), tuple("abc"), "x", "test", "here"), "has no images"),
    ],
)
def test_dataset__refuses_what_cannot_be(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
