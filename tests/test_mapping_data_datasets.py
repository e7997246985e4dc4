"""Data sets: the bundled digits, folders of arrays, CIFAR-10's official files, and its download."""

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pickle
import re
import struct
import tarfile
import threading
import zlib

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping.data import cifar10 as official
from mapping.data import datasets
from mapping.data.datasets import CIFAR10_CLASSES, Dataset, load_dataset
from mapping.files import downloads as download

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
    with np.load(datasets.DIGITS, allow_pickle=False) as held:
        assert np.array_equal(np.sort(held["order"]), np.arange(1797))
        images, order = held["images"], held["order"]
    together = np.concatenate([load_dataset("digits", split).images for split in SIZES])
    np.testing.assert_array_equal(together[:, 0] * 16.0, images[order])


def test_digits__are_scikit_learn_s():
    sklearn = pytest.importorskip("sklearn.datasets")
    original = sklearn.load_digits()
    with np.load(datasets.DIGITS, allow_pickle=False) as held:
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


@pytest.mark.parametrize("split", datasets.SPLITS)
def test_negatives__are_the_digits_with_every_second_image_turned(split):
    digits, negatives = load_dataset("digits", split), load_dataset("negatives", split)
    np.testing.assert_array_equal(negatives.images[::2], digits.images[::2])
    np.testing.assert_array_equal(negatives.images[1::2], 1.0 - digits.images[1::2])
    np.testing.assert_array_equal(negatives.labels, digits.labels)
    turned = np.bincount(negatives.labels[1::2], minlength=10) / np.bincount(negatives.labels, minlength=10)
    assert np.all(np.abs(turned - 0.5) < 0.25)  # of every class about half
    np.testing.assert_array_equal(load_dataset("negatives", split, limit=5).images, negatives.images[:5])


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
        (np.zeros((3, 4)), [0, 1, 2], "pixels, uint8 or float, got float64 of shape (3, 4)"),
        (np.zeros((3, 1, 4, 4), dtype=np.int64), [0, 1, 2], "got int64"),
        (np.zeros((0, 1, 4, 4)), np.zeros(0, int), "for each image, got int64 of shape (0,)"),
        (np.zeros((0, 1, 4, 4)), [0], "got float64 of shape (0, 1, 4, 4)"),
        (GOOD, [0, 10**9, 2], "from 0 to 99999, got 0 to 1000000000"),
        (GOOD + 1.5, [0, 1, 2], "from 0 to 1, got 1.5 to 1.5"),
        (GOOD * np.nan, [0, 1, 2], "from 0 to 1, got nan"),
        (GOOD, [0, 1], "for each of the 3 images, got 2"),
        (GOOD, [0.0, np.nan, 2.0], "finite numbers of shape (n,) or (n, outputs), got float64 of shape (3,)"),
        (GOOD, [False, True, False], "got bool of shape (3,)"),
        (GOOD, [[0], [1], [2]], "of shape (3, 1)"),
        (GOOD, [0, -1, 2], "from 0 to 99999, got -1 to 2"),
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
    with pytest.raises(ParameterError, match="must be from 0 to 9, as there are 10 classes, got 0 to 10"):
        load_dataset("digits", "test", tmp_path)


def test_folder__missing_empty_or_damaged(tmp_path):
    with pytest.raises(ParameterError, match=r"there is no folder .*nowhere; expected one with images\.npy"):
        load_dataset("mine", "test", tmp_path / "nowhere")
    with pytest.raises(ParameterError, match=r"has no images\.npy and no labels\.npy; expected images\.npy"):
        load_dataset("mine", "test", tmp_path)
    with pytest.raises(ParameterError, match=r"expected .*; or the files data_batch_1 to test_batch of CIFAR-10's"):
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


def header(text):
    """A .npy file whose header is this text."""
    body = text.encode().ljust(118, b" ") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (9, 1, 4, 4)}", "announces shape (9, 1, 4, 4) of float64"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2000000000, 4000, 9, 9)}", "announces shape (2000000000"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 1, 4, 4)}", "announces shape (-3"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,", "images.npy is not a sound .npy array"),
        ("{'descr': '<q9', 'fortran_order': False, 'shape': (1, 1)}", "images.npy is not a sound .npy array"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (True, True, True, True)}", "announces shape (True, True"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4611686018427387904, 4)}", "announces shape (0, 4611"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2**40, 1)}", "malformed node or string on line 1"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "it holds Python objects"),
        ("{3: 4}", "images.npy is not a sound .npy array"),
    ],
)
def test_folder__a_header_is_believed_only_as_far_as_the_file_goes(tmp_path, text, words):
    fill(tmp_path, GOOD, np.array([0, 1, 2]))
    (tmp_path / "images.npy").write_bytes(header(text) + bytes(24))
    with pytest.raises(ParameterError, match=re.escape(words)) as caught:
        load_dataset("mine", "test", tmp_path)
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_folder__larger_than_memory_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    fill(tmp_path, GOOD, np.array([0, 1, 2]))
    monkeypatch.setattr("mapping.data.datasets.read_folder", full)
    with pytest.raises(ParameterError, match="do not fit into memory; keep fewer of them in a file"):
        load_dataset("mine", "test", tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_folder__a_pipe_is_no_file(tmp_path):
    fill(tmp_path, GOOD, np.array([0, 1, 2]))
    (tmp_path / "images.npy").unlink()
    os.mkfifo(tmp_path / "images.npy")
    with pytest.raises(ParameterError, match=r"has no images\.npy"):
        load_dataset("mine", "test", tmp_path)


def test_folder__one_channel_needs_no_axis_and_columns_may_come_first(rng, tmp_path):
    images = rng.uniform(size=(5, 4, 6))
    fill(tmp_path, np.asfortranarray(images), np.arange(5))
    np.testing.assert_array_equal(load_dataset("mine", "test", tmp_path, limit=3).images, images[:3, None])


def test_folder__npz_idx_and_splits_hold_the_same_images(rng, tmp_path):
    """The layouts that people have: Keras' .npz, MNIST's IDX files, a folder for each split."""
    images, labels = rng.integers(0, 256, (6, 5, 4)).astype(np.uint8), np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)
    np.savez(tmp_path / "keras.npz", x_test=images, y_test=labels, x_train=images[::-1], y_train=labels[::-1])
    idx = tmp_path / "idx"
    idx.mkdir()
    packed = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in images.shape) + images.tobytes()
    (idx / "t10k-images-idx3-ubyte").write_bytes(packed)
    (idx / "t10k-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(b"\0\0\x08\x01" + len(labels).to_bytes(4, "big") + labels.tobytes())
    )
    split = tmp_path / "splits" / "test"
    split.mkdir(parents=True)
    fill(split, images, labels)
    for place in (tmp_path / "keras.npz", idx, tmp_path / "splits"):
        data = load_dataset("mine", "test", place)
        np.testing.assert_array_equal(data.images * 255.0, images[:, None])
        np.testing.assert_array_equal(data.labels, labels)
    train = load_dataset("mine", "train", tmp_path / "keras.npz")
    np.testing.assert_array_equal(train.images * 255.0, images[::-1, None])
    with pytest.raises(ParameterError, match="have a train and a test split, but no validation split"):
        load_dataset("mine", "validation", idx)
    with pytest.raises(ParameterError, match="has no train-images among its IDX files"):
        load_dataset("mine", "train", idx)
    (idx / "t10k-images-idx3-ubyte").write_bytes(packed[:-1])
    with pytest.raises(ParameterError, match=r"announces shape \(6, 5, 4\), its size is"):
        load_dataset("mine", "test", idx)
    np.savez(tmp_path / "other.npz", a=images)
    with pytest.raises(
        ParameterError, match="has the arrays a; expected one pair of images and labels, x_test and y_test"
    ):
        load_dataset("mine", "test", tmp_path / "other.npz")


def test_folder__of_pictures_has_a_folder_for_each_class(rng, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = rng.integers(0, 256, (2, 3, 5, 4, 3)).astype(np.uint8)
    for name, pictures in zip(("cat", "dog"), pixels, strict=True):
        (tmp_path / name).mkdir()
        for at, each in enumerate(pictures):
            image.fromarray(each).save(tmp_path / name / f"{at}.png")
    data = load_dataset("mine", "test", tmp_path)
    assert data.classes == ("cat", "dog")
    np.testing.assert_array_equal(data.labels, [0, 1, 0, 1, 0, 1])  # classes take turns, so a limit sees them all
    np.testing.assert_array_equal(data.images * 255.0, pixels.swapaxes(0, 1).reshape(6, 5, 4, 3).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(load_dataset("mine", "test", tmp_path, limit=3).labels, [0, 1, 0])
    (tmp_path / "cat" / "0.png").write_bytes(b"no picture")
    with pytest.raises(ParameterError, match=r"0\.png is not a sound picture"):
        load_dataset("mine", "test", tmp_path)
    image.fromarray(pixels[0, 0, :3]).save(tmp_path / "cat" / "0.png")
    with pytest.raises(ParameterError, match="all must have one shape"):
        load_dataset("mine", "test", tmp_path)


@pytest.mark.parametrize(("kind", "most"), [("u2", 65535), ("i4", 65535), ("f4", 1.0)])
def test_folder__of_pictures_with_more_than_eight_bits_keeps_them(rng, tmp_path, kind, most):
    """Pillow's own way to eight bits would make every pixel above 255 white."""
    image = pytest.importorskip("PIL.Image")
    pixels = (rng.random((5, 4)) * most).astype(kind)
    (tmp_path / "cat").mkdir()
    image.fromarray(pixels).save(tmp_path / "cat" / "0.tiff")
    data = load_dataset("mine", "test", tmp_path)
    np.testing.assert_allclose(data.images[0, 0], pixels / most, rtol=1e-6)
    image.fromarray((pixels * 3.0 + most).astype("f4" if kind == "f4" else "i4")).save(tmp_path / "cat" / "0.tiff")
    with pytest.raises(ParameterError, match=r"0\.tiff must hold (floats from 0 to 1|whole numbers of 16 bits), got"):
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


# CIFAR-10's Python version


def by_python_2(data, labels):
    """The bytes that Python 2 wrote: its texts are bytes, its array a call of numpy's own."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01M"
        + struct.pack("<H", len(data)) + b"M" + struct.pack("<H", data.shape[1])
        + b"\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"T" + struct.pack("<I", data.size) + data.tobytes() + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x06labels" + numbers + b"U\x04data" + array + b"U\x0bbatch_labelU\x04noneu."


def by_python_3(protocol):
    return lambda data, labels: pickle.dumps({b"data": data, b"labels": list(map(int, labels))}, protocol)


@pytest.mark.parametrize("writer", [by_python_2, by_python_3(2), by_python_3(4)])
def test_cifar10__both_versions_are_the_same_images(cifar10, tmp_path, writer):
    folder, train, test = cifar10
    place = tmp_path / "other" / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for i, part in enumerate(np.split(train, 5), start=1):
        (place / f"data_batch_{i}").write_bytes(writer(np.ascontiguousarray(part[:, 1:]), part[:, 0]))
    (place / "test_batch").write_bytes(writer(np.ascontiguousarray(test[:, 1:]), test[:, 0]))
    for split in SIZES:
        binary, python = load_dataset("cifar10", split, folder), load_dataset("cifar10", split, place.parent)
        np.testing.assert_array_equal(binary.images, python.images)
        np.testing.assert_array_equal(binary.labels, python.labels)
        assert python.source == str(place)


class Harm:
    """Pickles as a call of anything."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


PLAIN = np.zeros((2, 3072), dtype=np.uint8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Harm(os.mkdir, "harmed")), r"it asks for \w+\.mkdir, which no file of CIFAR-10 needs"),
        (pickle.dumps({b"data": Harm(eval, "1 + 1"), b"labels": [0]}), r"it asks for builtins\.eval"),
        (pickle.dumps({b"data": np.array([print]), b"labels": [0]}), r"it asks for builtins\.print"),
        (b"cnumpy\nload\n(U\x01xtR.", r"it asks for numpy\.load"),
        (b"\x80\x02cnumpy\ndtype\n}U\x08__code__K\x01sb.", "must hold a dictionary, got function"),
        (b"\x80\x02cnumpy\ndtype\nN}U\x08__code__K\x01s\x86b.", "is not a sound file"),
        (b"Pjust a name\n.", "it refers to something outside the file"),
        (b"nonsense", "is not a sound file of CIFAR-10's Python version"),
        (b"", "is not a sound file"),
        (pickle.dumps([1]), "must hold a dictionary, got list"),
        (pickle.dumps({b"data": PLAIN}), "a list of small whole numbers as its labels"),
        (pickle.dumps({b"data": PLAIN, b"labels": []}), "a list of small whole numbers as its labels"),
        (pickle.dumps({b"data": PLAIN, b"labels": [0, 256]}), "a list of small whole numbers"),
        (pickle.dumps({b"data": PLAIN, b"labels": [0, True]}), "a list of small whole numbers"),
        (pickle.dumps({b"data": PLAIN, b"labels": [0, 1, 2]}, 4), "must hold 3 × 3072 bytes of pixels"),
        (pickle.dumps({b"data": PLAIN.astype(float), b"labels": [0, 1]}, 4), "must hold 2 × 3072 bytes"),
        (pickle.dumps({b"data": np.asfortranarray(PLAIN), b"labels": [0, 1]}, 4), "must hold 2 × 3072 bytes"),
        (pickle.dumps({b"data": [1], b"labels": [0, 1]}, 4), "must hold 2 × 3072 bytes"),
        (by_python_2(PLAIN, [3, 10]), r"a label in .* is 10"),
        (by_python_2(PLAIN, [3, 9])[:-40], "is not a sound file"),
    ],
)
def test_cifar10__a_pickle_can_neither_harm_nor_confuse(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(ParameterError, match=words) as caught:
        load_dataset("cifar10", "test", tmp_path)
    assert "\n" not in str(caught.value)
    assert os.listdir() == ["test_batch"]  # noqa: PTH208


def test_cifar10__a_huge_pickle_is_not_even_opened(tmp_path):
    with (tmp_path / "test_batch").open("wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(ParameterError, match="has 67108865 bytes, more than any file of CIFAR-10"):
        load_dataset("cifar10", "test", tmp_path)


# download


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content`; drops the connection after `cut` bytes as long as there are cuts left."""

    content = b""
    cuts: tuple[int, ...] = ()
    ranges = True
    status = 200

    def do_GET(self):
        kind = type(self)
        wanted = self.headers.get("Range")
        kind.asked = [*kind.asked, wanted]
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and kind.ranges else 0
        if kind.status != 200:
            self.send_error(kind.status)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(kind.content) - 1}/{len(kind.content)}")
        body = kind.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind.cuts:
            body, kind.cuts = body[: kind.cuts[0]], kind.cuts[1:]
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """Start a server on a free port: its class, to be told what to do, and its address."""
    handler = type("Handler", (Server,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as held:
        thread = threading.Thread(target=held.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler, f"http://127.0.0.1:{held.server_address[1]}/archive"
        held.shutdown()
        thread.join()


def fetch(server, path, content=None, progress=None):
    handler, address = server
    content = handler.content if content is None else content
    download.download(address, path, len(content), hashlib.sha256(content).hexdigest(), progress)


def test_download__arrives_whole_with_progress(server, tmp_path, rng):
    server[0].content = rng.bytes(700_000)
    seen = []
    fetch(server, tmp_path / "new" / "file", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "new" / "file").read_bytes() == server[0].content
    assert os.listdir(tmp_path / "new") == ["file"]  # noqa: PTH208
    assert seen[-1] == (700_000, 700_000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 2


def test_download__goes_on_where_it_was_cut_off(server, tmp_path, rng):
    server[0].content, server[0].cuts = rng.bytes(1000), (300, 200)
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == server[0].content
    assert server[0].asked == [None, "bytes=300-", "bytes=500-"]


def test_download__goes_on_in_the_next_process(server, tmp_path, rng):
    server[0].content = rng.bytes(1000)
    (tmp_path / "file.part").write_bytes(server[0].content[:400])
    fetch(server, tmp_path / "file")
    assert server[0].asked == ["bytes=400-"]
    assert (tmp_path / "file").read_bytes() == server[0].content


def test_download__starts_anew_where_the_server_sends_no_parts(server, tmp_path, rng):
    server[0].content, server[0].ranges = rng.bytes(1000), False
    (tmp_path / "file.part").write_bytes(b"x" * 400)
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == server[0].content


@pytest.mark.parametrize("held", [b"", b"y" * 400, b"y" * 1000, b"y" * 2000])
def test_download__of_another_file_is_refused_and_forgotten(server, tmp_path, held):
    server[0].content = b"x" * 1000
    if held:
        (tmp_path / "file.part").write_bytes(held)
    with pytest.raises(ParameterError, match="is not the expected file: its size or SHA-256 differs"):
        fetch(server, tmp_path / "file", content=b"z" * 1000)
    assert not list(tmp_path.iterdir())


def test_download__gives_up_and_keeps_what_it_has(server, tmp_path):
    server[0].content, server[0].cuts = b"x" * 1000, (600, 0, 0, 0)
    with pytest.raises(OSError, match="the server sends no data"):
        fetch(server, tmp_path / "file")
    assert (tmp_path / "file.part").stat().st_size == 600
    assert len(server[0].asked) == 1 + download.TRIES
    server[0].status = 404
    with pytest.raises(OSError, match="the server answers 404 Not Found"):
        fetch(server, tmp_path / "file")
    assert len(server[0].asked) == 2 + download.TRIES  # a refusal is not asked for again
    assert (tmp_path / "file.part").stat().st_size == 600


@pytest.mark.parametrize(
    ("platform", "variables", "end"),
    [
        ("linux", {"CROSSGATE_CACHE": "/c/here"}, "/c/here"),
        ("linux", {"XDG_CACHE_HOME": "/c"}, "/c/crossgate"),
        ("linux", {}, "/home/me/.cache/crossgate"),
        ("darwin", {}, "/home/me/Library/Caches/crossgate"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/crossgate"),
    ],
)
def test_cache__is_where_the_system_keeps_such_things(monkeypatch, platform, variables, end):
    for name in ("CROSSGATE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert download.cache_folder().as_posix() == end


@pytest.fixture
def archive(cifar10, server, tmp_path, monkeypatch):
    """An archive like the official one behind the server's address, and a cache that is empty."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        tar.add(cifar10[0] / "cifar-10-batches-bin", "cifar-10-batches-bin")
    server[0].content = held.getvalue()
    monkeypatch.setattr(official, "ADDRESS", server[1])
    monkeypatch.setattr(official, "ARCHIVE_SIZE", len(server[0].content))
    monkeypatch.setattr(official, "ARCHIVE_SHA256", hashlib.sha256(server[0].content).hexdigest())
    monkeypatch.setenv("CROSSGATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cifar10__is_downloaded_once_into_the_cache(archive, server, cifar10):
    seen = []
    first = load_dataset("cifar10", "test", progress=lambda done, total: seen.append(total))
    np.testing.assert_array_equal(first.images, load_dataset("cifar10", "test", cifar10[0]).images)
    assert seen
    assert [path.name for path in archive.iterdir()] == ["cifar-10-batches-bin"]
    server[0].status = 500
    load_dataset("cifar10", "train", limit=3)
    assert len(server[0].asked) == 1


def test_cifar10__an_archive_put_into_the_cache_is_unpacked(archive, server):
    archive.mkdir()
    (archive / official.ARCHIVE).write_bytes(server[0].content)
    assert len(load_dataset("cifar10", "test")) == 20
    assert server[0].asked == []
    assert [path.name for path in archive.iterdir()] == ["cifar-10-batches-bin"]


def test_cifar10__a_damaged_archive_in_the_cache_is_fetched_anew(archive, server):
    archive.mkdir()
    (archive / official.ARCHIVE).write_bytes(server[0].content[:-1])
    assert len(load_dataset("cifar10", "test")) == 20
    assert len(server[0].asked) == 1


def test_cifar10__offline_says_what_to_download_and_where_to_put_it(archive, server, monkeypatch):
    monkeypatch.setattr(official, "ADDRESS", "http://127.0.0.1:9/cifar-10-binary.tar.gz")  # nobody listens there
    with pytest.raises(
        ParameterError, match=r"neither in \S+cache nor could it be .*: download http\S+tar\.gz"
    ) as caught:
        load_dataset("cifar10", "test")
    assert str(archive) in str(caught.value)
    assert "--data" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cifar10__what_is_no_archive_is_one_sentence(archive, server, monkeypatch):
    server[0].content = b"not an archive"
    monkeypatch.setattr(official, "ARCHIVE_SIZE", 14)
    monkeypatch.setattr(official, "ARCHIVE_SHA256", hashlib.sha256(b"not an archive").hexdigest())
    with pytest.raises(ParameterError, match="neither in"):
        load_dataset("cifar10", "test")
    assert [path.name for path in archive.iterdir()] == [official.ARCHIVE]


# the rest


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: load_dataset("mnist", "test"),
            "there is no data set 'mnist' without a data folder; known: digits, negatives, cifar10",
        ),
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
