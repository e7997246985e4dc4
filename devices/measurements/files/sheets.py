"""Bytes of a file as sheets of rows: text in any usual encoding, and Excel's workbooks."""

import gzip
import io
import os
import stat
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path

from charset_normalizer import from_bytes

from devices.errors import ParameterError
from devices.measurements.files.rows import Row, Sheet, rows_of

LARGEST = 256 * 1024**2  # bytes of a file, ours; more points than a fit takes are far below
ENCODINGS = (  # that analysers and their computers write
    "cp1252", "cp932", "gb18030", "cp949", "big5", "cp1250", "cp1251", "utf_16_le", "utf_16_be",
)  # fmt: skip
BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
CALCULATED = ("calc", "settings")  # sheets of a Keithley 4200A that hold no points


def read_sheets(path: str | os.PathLike[str]) -> list[Sheet]:
    """Return the sheets of a file with measured points; a text file has one.

    Raises ParameterError if there is no such file, or if it is neither text nor a workbook.
    """
    file = Path(path)
    data = _bytes(file)
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(data, file)
    if data.startswith(b"PK\x03\x04"):
        return _xlsx(data, file)
    if data.startswith(OLE):
        return _xls(data, file)
    text, encoding = _text(data, file)
    return [rows_of(text, encoding)]


def _bytes(file: Path) -> bytes:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ParameterError(f"{file} cannot be read as text: it is no regular file")
        if status.st_size > LARGEST:
            raise ParameterError(f"{file} has {status.st_size} bytes, more than {LARGEST}: thin the points out")
        return file.read_bytes()
    except FileNotFoundError:
        raise ParameterError(f"there is no file {file}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise ParameterError(f"{file} cannot be read as text: {error}") from None


def _unpacked(data: bytes, file: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            found = stream.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ParameterError(f"{file} cannot be unpacked: {error}") from None
    if len(found) > LARGEST:
        raise ParameterError(f"{file} unpacks to more than {LARGEST} bytes: thin the points out")
    return found


def _text(data: bytes, file: Path) -> tuple[str, str]:
    """Return the text of a file and the name of its encoding."""
    for mark, encoding in BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding.removesuffix("-sig")
            except UnicodeDecodeError as error:
                raise ParameterError(f"{file} cannot be read as text: {error}") from None
    if b"\x00" not in data:
        try:
            return data.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            pass
    elif data.startswith((b"\x89PNG", b"\x93NUMPY", b"MATLAB", b"\x89HDF")) or not _alternates(data):
        raise ParameterError(f"{file} cannot be read as text: export it as CSV, text, .xls or .xlsx")
    found = from_bytes(data, cp_isolation=list(ENCODINGS)).best()
    if found is None:
        raise ParameterError(f"{file} cannot be read as text in any usual encoding: save it as UTF-8")
    return str(found), found.encoding.replace("_", "-")


def _alternates(data: bytes) -> bool:
    """Tell if every second byte of a sample is mostly 0, as in UTF-16 of Western text."""
    sample = data[:4096]
    return any(sample[start::2].count(0) > 0.8 * len(sample[start::2]) for start in (0, 1))


def _xlsx(data: bytes, file: Path) -> list[Sheet]:
    try:
        import openpyxl
    except ImportError:
        raise ParameterError(
            f"{file} is an Excel workbook: install crossgate[excel] to read it, or save its sheet as CSV"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which hold no points
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            return _sheets((each.title, each.iter_rows(values_only=True)) for each in book.worksheets)
    except Exception as error:  # noqa: BLE001 openpyxl passes on whatever zip and XML raise
        raise ParameterError(
            f"{file} is no Excel workbook that can be read ({type(error).__name__}: {error}); save its sheet as CSV"
        ) from None


def _xls(data: bytes, file: Path) -> list[Sheet]:
    try:
        import xlrd
    except ImportError:
        raise ParameterError(
            f"{file} is an Excel workbook: install crossgate[excel] to read it, or save its sheet as CSV"
        ) from None
    try:
        # xlrd prints its remarks on the file's structure; Keithley's files always give some
        book = xlrd.open_workbook(file_contents=data, logfile=io.StringIO())
        return _sheets((each.name, (each.row_values(k) for k in range(each.nrows))) for each in book.sheets())
    except Exception as error:  # noqa: BLE001 as above
        raise ParameterError(
            f"{file} is no Excel workbook that can be read ({type(error).__name__}: {error}); save its sheet as CSV"
        ) from None


def _sheets(found: Iterable[tuple[str, Iterable[Iterable[object]]]]) -> list[Sheet]:
    """Return sheets of a workbook as those of a text; empty rows are left out, and their numbers stay."""
    sheets = []
    for name, rows in found:
        kept = []
        for n, cells in enumerate(rows, start=1):
            texts = tuple(_cell(cell) for cell in cells)
            if any(texts):
                kept.append(Row(n, texts))
        sheets.append(Sheet(name, tuple(kept), comma=False, wrote=f"sheet {name!r} of a workbook"))
    return sheets


def _cell(value: object) -> str:
    """Return a cell of a workbook as text that gives the same number back."""
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, (int, float)) else str(value).strip()
