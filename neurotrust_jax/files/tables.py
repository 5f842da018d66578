"""Text and tables as spreadsheets and data frames write them."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from pathlib import Path

from .._runtime.text import FileError
from .errors import file_errors

__all__ = ["read_rows", "read_text"]

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LONGEST_TEXT = 2**28  # bytes of a compressed file once it is unpacked
SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # a first line by which Excel names it


def read_text(path: str | Path) -> str:
    """Read a text in UTF-8 or, where it begins with the mark of Excel's "Unicode text", UTF-16.

    A file whose name ends in .gz is unpacked.

    Raises
    ------
    FileError
        If the file is missing, is in another encoding, or unpacks to more than 256 MiB.
    """
    path = Path(path)
    with file_errors(path):
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as file:
                data = file.read(LONGEST_TEXT + 1)
            if len(data) > LONGEST_TEXT:
                raise FileError(f"{path}: unpacks to more than 256 MiB; unpack and divide it")
        else:
            data = path.read_bytes()
        try:
            return data.decode("utf-16" if data.startswith(UTF_16) else "utf-8-sig")
        except UnicodeDecodeError as error:
            raise FileError(
                f"{path}: can not be read: {error.reason} at byte {error.start:,}; save it as "
                '"CSV UTF-8"'
            ) from None


def read_rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """Read the rows of a table, each with the number of the line on which it begins.

    Cells are separated by tabs in a .tsv or .tab file and where the first row holds a tab; else by
    semicolons or commas, whichever divides the first row into more cells, or as a first line such
    as "sep=;" says. Rows without any text are left out.

    Raises
    ------
    FileError
        If the file can not be read as text, or its quotes do not match.
    """
    path = Path(path)
    lines = io.StringIO(read_text(path), newline="")
    first = next((x for x in lines if x.strip()), "")
    if named := SEPARATOR.fullmatch(first):
        separator, line = named[1], first.count("\n") + 1
    else:
        lines.seek(0)
        separator, line = _separator(first, path), 1
    rows = csv.reader(lines, delimiter=separator, strict=True)
    found, skipped = [], line - 1
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                found.append((line, row))
            line = skipped + rows.line_num + 1
    except csv.Error as error:
        raise FileError(
            f"{path}: line {line} can not be read: {error}; quote a cell that begins with a "
            "quote, and double the quotes in it"
        ) from None
    return found


def _separator(first: str, path: Path) -> str:
    """What separates the cells of a table, from its first row."""
    if path.suffix.lower() in (".tsv", ".tab") or "\t" in first:
        return "\t"
    quoted_removed = re.sub(r'"[^"]*"', "", first)
    return max(",;", key=quoted_removed.count)
