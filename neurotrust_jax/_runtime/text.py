"""Text from outside made safe: one line for a message, a cell without a formula for a table."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["FileError", "as_cell", "from_cell", "neuron_noun", "visible"]

ON_ONE_LINE = {"\n": "⏎", "\t": " "}
LONGEST_MESSAGE = 1000  # characters

# A spreadsheet takes a cell that begins like this for a formula, unless it is a number.
FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|[\t\r\n])")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


class FileError(ValueError):
    """A file can not be used; the message is one line that names the file and the remedy."""

    def __init__(self, message: str) -> None:
        text = visible(message)
        if len(text) > LONGEST_MESSAGE:  # the file stands at the start, the remedy at the end
            text = f"{text[: LONGEST_MESSAGE - 300]} ... {text[-290:]}"
        super().__init__(text)


def neuron_noun(num_ranges: int) -> str:
    """What is labelled, in the plural: neurons, or ranges of activation where each is cut."""
    return "neurons" if num_ranges == 1 else "ranges of neurons"


def visible(text: str) -> str:
    """Replace the characters that hide, reorder or break other text.

    A line end becomes "⏎" and a tab a space. Other control characters become their pictures.
    Directional overrides, embeddings and isolates, surrogates and unassigned control codes become
    the replacement character.
    """
    return "".join(_visible(x) for x in str(text))


def _visible(x: str) -> str:
    if x in ON_ONE_LINE:
        return ON_ONE_LINE[x]
    if x < " ":
        return chr(0x2400 + ord(x))
    if "\u202a" <= x <= "\u202e" or "\u2066" <= x <= "\u2069":
        return "\ufffd"
    kind = unicodedata.category(x)
    if kind in ("Zl", "Zp"):
        return ON_ONE_LINE["\n"]
    return "\ufffd" if kind in ("Cc", "Cs") else x


def as_cell(text: str) -> str:
    """Write a text as a cell of a .csv file, with an apostrophe before what may be a formula.

    A spreadsheet that opens the file must not run what the name of a concept says (OWASP, "CSV
    injection"). :func:`from_cell` gives the text back. Numbers stay as they are.
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """Give back the text that :func:`as_cell` wrote as a cell."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
