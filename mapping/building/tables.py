"""Tables with named columns and units, as CSV text and as Parquet; numbers keep all their bits."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from devices.errors import ParameterError

Kind = Literal["text", "whole", "number"]
#: by column name: an array of numbers, a list of texts, or one value for the whole block
Block = Mapping[str, Any]
PIECE = 100_000  # rows of one piece of a Parquet file, ours: bounds the memory
READ = 5_000  # rows of CSV text at a time, ours: they stay in the processor's cache
EMPTY = ("", "nan", "na", "n/a", "null", "none")  # texts of a number that is missing, in small letters


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    kind: Kind
    unit: str  #: "" for a column without unit
    about: str

    def described(self) -> dict[str, str]:
        """Return the column as an entry of a schema."""
        kinds = {"text": "string", "whole": "int64", "number": "float64"}
        return {"name": self.name, "type": kinds[self.kind], "unit": self.unit, "about": self.about}


def csv_writer(columns: tuple[Column, ...], blocks: Iterable[Block]) -> "CsvWriter":
    """Return a function that writes blocks of rows to a path as CSV text; a number that is nan is left empty."""
    return CsvWriter(columns, blocks)


@dataclass(frozen=True)
class CsvWriter:
    """Writes a table to the path that it is called with."""

    columns: tuple[Column, ...]
    blocks: Iterable[Block]

    def __call__(self, path: Path) -> None:
        """Write the table; the shortest text that gives back every bit of a number is written."""
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(",".join(each.name for each in self.columns) + "\n")
            for block in self.blocks:
                texts = [_texts(each, block[each.name], _rows(block)) for each in self.columns]
                file.writelines(f"{line}\n" for line in map(",".join, zip(*texts, strict=True)))


def parquet_writer(
    columns: tuple[Column, ...], blocks: Iterable[Block], schema: Mapping[str, object]
) -> "ParquetWriter":
    """Return a function that writes blocks of rows to a path as Parquet, with a schema in the file's metadata.

    Raises ParameterError if pyarrow is not installed.
    """
    _pyarrow()
    return ParquetWriter(columns, blocks, schema)


@dataclass(frozen=True)
class ParquetWriter:
    """Writes a table to the path that it is called with."""

    columns: tuple[Column, ...]
    blocks: Iterable[Block]
    schema: Mapping[str, object]

    def __call__(self, path: Path) -> None:
        """Write the table; texts are stored as a dictionary, a number that is nan is stored as missing."""
        pa, parquet = _pyarrow()
        kinds = {"text": pa.dictionary(pa.int32(), pa.string()), "whole": pa.int64(), "number": pa.float64()}
        schema = pa.schema(
            [pa.field(each.name, kinds[each.kind], metadata={"unit": each.unit}) for each in self.columns],
            metadata={"crossgate": json.dumps(self.schema)},
        )
        with parquet.ParquetWriter(path, schema) as writer:
            for piece in _pieces(self.blocks):
                arrays = []
                for each in self.columns:
                    values = [_values(each, block[each.name], _rows(block)) for block in piece]
                    if each.kind == "text":
                        texts = [text for held in values for text in held]
                        arrays.append(pa.array(texts, pa.string()).dictionary_encode())
                    else:
                        arrays.append(pa.array(np.concatenate(values), kinds[each.kind], from_pandas=True))
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def read_table(
    path: Path, columns: Iterable[Column], optional: Iterable[Column], codes: Mapping[str, Mapping[str, int]]
) -> dict[str, np.ndarray[Any, Any]]:
    """Read columns of a CSV or Parquet file, in any order; others are ignored, and so are optional ones that lack.

    codes: by name of a text column, the number that stands for each text.  A missing number is nan.
    Raises ParameterError if the file cannot be read, a column lacks or stands twice, or a value is wrong.
    """
    wanted, more = tuple(columns), tuple(optional)
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path, wanted, more, codes)
        return _read_csv(path, wanted, more, codes)
    except FileNotFoundError:
        raise ParameterError(f"there is no table {path}") from None
    except OSError as error:
        raise ParameterError(f"the table {path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ParameterError(f"the table {path} is not CSV text: {error}") from None


def _read_csv(
    path: Path, columns: tuple[Column, ...], optional: tuple[Column, ...], codes: Mapping[str, Mapping[str, int]]
) -> dict[str, np.ndarray[Any, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        separator = max(",;\t", key=first.count)  # a spreadsheet may have saved the table with another one
        reader = csv.reader(file, delimiter=separator)
        headings = [each.strip() for each in next(csv.reader(io.StringIO(first), delimiter=separator), [])]
        used = _used(path, headings, columns, optional)
        places = [headings.index(each.name) for each in used]
        parts: dict[str, list[np.ndarray[Any, Any]]] = {each.name: [] for each in used}
        done = 0
        while rows := _some(reader):
            if set(map(len, rows)) != {len(headings)}:
                at, row = next((at, row) for at, row in enumerate(rows) if len(row) != len(headings))
                raise ParameterError(f"{path}: row {done + at + 1} must have {len(headings)} values, got {len(row)}")
            fields = list(zip(*rows, strict=True))
            for each, at in zip(used, places, strict=True):
                texts = fields[at]
                parts[each.name].append(_converted(each, texts, codes, f"{path}: row", done + 1))
            done += len(rows)
    return {name: np.concatenate(held) if held else np.empty(0) for name, held in parts.items()}


def _some(reader: "Iterator[list[str]]") -> list[list[str]]:
    """Return the next rows, at least one unless there are none; blank ones are left out."""
    while taken := list(islice(reader, READ)):
        rows = list(filter(None, taken))
        if rows:
            return rows
    return []


def _read_parquet(
    path: Path, columns: tuple[Column, ...], optional: tuple[Column, ...], codes: Mapping[str, Mapping[str, int]]
) -> dict[str, np.ndarray[Any, Any]]:
    pa, parquet = _pyarrow()
    try:
        file = parquet.ParquetFile(path)
        used = _used(path, list(file.schema_arrow.names), columns, optional)
        table = file.read(columns=[each.name for each in used])
        out: dict[str, np.ndarray[Any, Any]] = {}
        for each in used:
            held = table.column(each.name)
            if each.kind == "number":
                out[each.name] = held.cast(pa.float64()).to_numpy(zero_copy_only=False)
            elif each.kind == "whole":
                if held.null_count:
                    raise ParameterError(f"{path}: {each.name} must be a whole number in every row, got an empty one")
                out[each.name] = held.cast(pa.int64()).to_numpy()
            else:
                coded = held.cast(pa.string()).fill_null("").combine_chunks().dictionary_encode()
                texts = coded.dictionary.to_pylist()
                numbers = np.array([_code(each, text, codes, str(path)) for text in texts], dtype=np.int64)
                out[each.name] = numbers[coded.indices.to_numpy()] if texts else np.empty(0, dtype=np.int64)
    except pa.ArrowException as error:
        raise ParameterError(f"the table {path} is not sound Parquet: {' '.join(str(error).split())[:200]}") from None
    return out


def _used(
    path: Path, headings: list[str], columns: tuple[Column, ...], optional: tuple[Column, ...]
) -> tuple[Column, ...]:
    """Return the columns that are there; raise ParameterError if one lacks or stands twice."""
    for each in columns:
        if each.name not in headings:
            shown = ", ".join(headings[:20]) if any(headings) else "none"
            raise ParameterError(f"{path} must have a column {each.name}, got {shown}")
    used = columns + tuple(each for each in optional if each.name in headings)
    for each in used:
        if headings.count(each.name) > 1:
            raise ParameterError(f"{path} must have one column {each.name}, got {headings.count(each.name)}")
    return used


def _converted(
    column: Column, texts: tuple[str, ...], codes: Mapping[str, Mapping[str, int]], where: str, first: int
) -> np.ndarray[Any, Any]:
    """Return the values of one column of a piece; where: text before the number of a row, first: that of the first."""
    try:
        if column.kind == "text":
            known = codes[column.name]
            return np.array([known[text] for text in texts], dtype=np.int64)
        if column.kind == "whole":
            return np.array(list(map(int, texts)), dtype=np.int64)
        return np.array([float(text) if text else np.nan for text in texts] if "" in texts else list(map(float, texts)))
    except (ValueError, KeyError, OverflowError):
        found = [_value(column, text, codes, f"{where} {first + at}") for at, text in enumerate(texts)]
        return np.array(found, dtype=np.float64 if column.kind == "number" else np.int64)


def _value(column: Column, text: str, codes: Mapping[str, Mapping[str, int]], where: str) -> float | int:
    """Return one value; raise ParameterError that names row, column and text."""
    if column.kind == "text":
        return _code(column, text.strip(), codes, where)
    if column.kind == "number" and text.strip().lower() in EMPTY:
        return np.nan
    try:
        value = float(text)
        whole = int(value) if column.kind == "whole" and abs(value) < 2**53 else None
        if column.kind == "number" or whole == value:
            return value if whole is None else whole
    except (ValueError, OverflowError):
        pass
    wanted = "a whole number" if column.kind == "whole" else "a number with a decimal point, or empty"
    raise ParameterError(f"{where}: {column.name} must be {wanted}, got {text!r}")


def _code(column: Column, text: str, codes: Mapping[str, Mapping[str, int]], where: str) -> int:
    known = codes[column.name]
    if text not in known:
        shown = ", ".join(repr(each) for each in list(known)[:20])
        raise ParameterError(f"{where}: {column.name} must be one of {shown}, got {text!r}")
    return known[text]


def _rows(block: Block) -> int:
    """Number of rows of a block: that of its first column that is no single value."""
    return next(len(each) for each in block.values() if isinstance(each, (list, np.ndarray)))


def _values(column: Column, held: Any, count: int) -> Any:  # noqa: ANN401  (a column of any kind)
    """Return one column of a block as a list of texts or an array of numbers."""
    if column.kind == "text":
        return held if isinstance(held, list) else [str(held)] * count
    return np.broadcast_to(np.asarray(held, dtype=np.float64 if column.kind == "number" else np.int64), (count,))


def _texts(column: Column, held: Any, count: int) -> list[str]:  # noqa: ANN401  (a column of any kind)
    """Return one column of a block as CSV texts."""
    if not isinstance(held, (list, np.ndarray)):
        return [_text(column, held)] * count
    values = held if isinstance(held, list) else held.tolist()
    if column.kind == "whole":
        return list(map(str, values))
    if column.kind == "text":
        quoted = {each: _quoted(each) for each in set(values)}
        return [quoted[each] for each in values]
    texts = list(map(repr, values))
    return ["" if each == "nan" else each for each in texts] if "nan" in texts else texts


def _text(column: Column, value: Any) -> str:  # noqa: ANN401  (a value of any kind)
    if column.kind == "text":
        return _quoted(str(value))
    if column.kind == "whole":
        return str(int(value))
    return "" if np.isnan(value) else repr(float(value))


def _quoted(text: str) -> str:
    """Return a text as a CSV field."""
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in ',"\n\r;\t') else text


def _pieces(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Yield neighbouring blocks with at least PIECE rows together, the rest last; one empty list for an empty table."""
    held: list[Block] = []
    rows = 0
    for block in blocks:
        held.append(block)
        rows += _rows(block)
        if rows >= PIECE:
            yield held
            held, rows = [], 0
    if held:
        yield held


def _pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ParameterError(
            "Parquet needs pyarrow, which is not installed: pip install 'crossgate[parquet]', or use CSV"
        ) from None
    return pa, parquet
