"""Concepts and classes of characters, from the Unicode character database."""

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

# Only three code points are forms of Q, too few for a concept or a class.
LETTERS = "ABCDEFGHIJKLMNOPRSTUVWXYZ"
SCRIPTS = ("Latin", "Greek", "Cyrillic", "Armenian", "Georgian")
# Free-standing accents do not always decompose (U+0060), so marks are recognised by name.
# The combining characters from U+0363 on are letters.
_MARK_CLASS = {
    unicodedata.name(chr(code)).removeprefix("COMBINING "): unicodedata.combining(chr(code))
    for code in range(0x300, 0x363)
}


class Sign(NamedTuple):
    """Entry of one code point in the Unicode database."""

    code: int
    name: str
    category: str
    style: str  # tag of the compatibility decomposition, such as <super>, or empty
    letters: tuple[str, ...]  # names of the letters that it decomposes into, if it is a letter
    marks: tuple[str, ...]  # names, without COMBINING, of the diacritics that it has or is


def sign_of(char: str) -> Sign:
    """Look up a character."""
    category = unicodedata.category(char)
    pieces = unicodedata.normalize("NFKD", char)
    letters = (unicodedata.name(piece) for piece in pieces if piece.isalpha())
    names = (re.sub("^(COMBINING|MODIFIER LETTER) ", "", unicodedata.name(p)) for p in pieces)
    # The struck-through signs of mathematics decompose too, but have no diacritic.
    has_marks = category[0] == "L" or category in ("Mn", "Sk")
    return Sign(
        code=ord(char),
        name=unicodedata.name(char),
        category=category,
        style=unicodedata.decomposition(char).partition(" ")[0],
        letters=tuple(letters) if category[0] == "L" else (),
        marks=tuple(name for name in names if has_marks and name in _MARK_CLASS),
    )


def _base_letter(sign: Sign) -> str:
    """Return the letter A-Z, in upper case, of which a sign is a form, or an empty string."""
    if len(sign.letters) != 1:
        return ""
    plain = sign.letters[0].split(" WITH ")[0]
    match = re.fullmatch("LATIN (?:CAPITAL|SMALL) LETTER ([A-Z])", plain)
    return match[1] if match else ""


def _is_ligature(sign: Sign) -> bool:
    """Return whether two letters are joined; an apostrophe before a letter does not count."""
    whole = [letter for letter in sign.letters if not letter.startswith("MODIFIER")]
    return len(whole) > 1 or _name("LIGATURE|DIGRAPH|AE")(sign)


def _arrow_heads(sign: Sign) -> set[str]:
    """Return the directions of an arrow's heads: for a bent arrow, that of its tip or corner."""
    bent = re.search(r"WITH (?:TIP|CORNER) (\w+)", sign.name)
    text = bent[1] if bent else re.sub(" WITH .*| FROM .*|LEFTWARDS OF ", "", sign.name)
    return set(re.findall("LEFT|RIGHT|UP|DOWN|NORTH|SOUTH", text))


def _box_arms(sign: Sign) -> set[str]:
    """Return the directions in which a box drawing has an arm; none if it is diagonal."""
    if "DIAGONAL" in sign.name:
        return set()
    text = sign.name.replace("HORIZONTAL", "LEFT RIGHT").replace("VERTICAL", "UP DOWN")
    return set(re.findall(r"\b(?:LEFT|RIGHT|UP|DOWN)\b", text))


def _is_box_corner(sign: Sign) -> bool:
    """Return whether a box drawing has one horizontal arm and one vertical arm."""
    arms = _box_arms(sign)
    return len(arms) == 2 and len(arms & {"LEFT", "RIGHT"}) == 1


def _is_negated(sign: Sign) -> bool:
    """Return whether a sign is another sign struck through by U+0338."""
    return "\u0338" in unicodedata.normalize("NFD", chr(sign.code))[1:]


_Test = Callable[[Sign], bool]


def _category(*prefixes: str) -> _Test:
    return lambda sign: sign.category.startswith(prefixes)


def _name(pattern: str) -> _Test:
    return lambda sign: re.search(rf"\b(?:{pattern})\b", sign.name) is not None


def _attached(pattern: str) -> _Test:
    return _name(rf"WITH .*\b(?:{pattern})(?! ABOVE)")


def _block(first: int, last: int) -> _Test:
    return lambda sign: first <= sign.code <= last


def _script(script: str) -> _Test:
    return lambda sign: any(script.upper() in letter.split(" ") for letter in sign.letters)


def _letter(base: str) -> _Test:
    return lambda sign: _base_letter(sign) == base


def _mark(name: str) -> _Test:
    return lambda sign: name in sign.marks


def _mark_class(*values: int) -> _Test:
    return lambda sign: any(_MARK_CLASS[mark] in values for mark in sign.marks)


def _head(direction: str) -> _Test:
    return lambda sign: direction in _arrow_heads(sign)


def _arms(count: int) -> _Test:
    return lambda sign: len(_box_arms(sign)) == count


# Name, parent and test. A concept holds where its test and its parent hold; parents come first.
CONCEPTS: tuple[tuple[str, str | None, _Test], ...] = (
    ("letter", None, _category("L")),
    ("uppercase letter", "letter", _category("Lu")),
    ("lowercase letter", "letter", _category("Ll")),
    ("titlecase letter", "letter", _category("Lt")),
    ("modifier letter", "letter", _category("Lm")),
    *((f"{script} letter", "letter", _script(script)) for script in SCRIPTS),
    *((f"letter {base}", "Latin letter", _letter(base)) for base in LETTERS),
    ("small capital letter", "Latin letter", _name("SMALL CAPITAL")),
    ("turned letter", "letter", _name("TURNED")),
    ("reversed letter", "letter", _name("REVERSED")),
    ("ligature or digraph", "letter", _is_ligature),
    ("attached stroke or hook", "letter", _attached("STROKE|HOOK|TAIL|DESCENDER|CURL")),
    *(
        (f"{part.lower()} on a letter", "attached stroke or hook", _attached(part))
        for part in ("STROKE", "HOOK", "TAIL", "DESCENDER", "CURL")
    ),
    ("diacritic", None, lambda sign: bool(sign.marks)),
    ("two or more diacritics", "diacritic", lambda sign: len(sign.marks) > 1),
    ("combining mark", "diacritic", _category("Mn")),
    ("horn", "diacritic", _mark("HORN")),
    ("diacritic above", "diacritic", _mark_class(230)),
    *(
        (name, "diacritic above", _mark(mark))
        for name, mark in (
            ("acute accent", "ACUTE ACCENT"),
            ("grave accent", "GRAVE ACCENT"),
            ("circumflex", "CIRCUMFLEX ACCENT"),
            ("tilde above", "TILDE"),
            ("macron", "MACRON"),
            ("breve", "BREVE"),
            ("inverted breve", "INVERTED BREVE"),
            ("caron", "CARON"),
            ("dot above", "DOT ABOVE"),
            ("diaeresis", "DIAERESIS"),
            ("ring above", "RING ABOVE"),
            ("double acute accent", "DOUBLE ACUTE ACCENT"),
            ("double grave accent", "DOUBLE GRAVE ACCENT"),
            ("smooth breathing (psili)", "COMMA ABOVE"),
            ("rough breathing (dasia)", "REVERSED COMMA ABOVE"),
            ("Greek circumflex (perispomeni)", "GREEK PERISPOMENI"),
        )
    ),
    ("tonos", "acute accent", _name("TONOS")),
    ("oxia", "acute accent", _name("OXIA")),
    ("varia", "grave accent", _name("VARIA")),
    ("diacritic below", "diacritic", _mark_class(202, 220, 240)),
    *(
        (name, "diacritic below", _mark(mark))
        for name, mark in (
            ("dot below", "DOT BELOW"),
            ("line below", "MACRON BELOW"),
            ("circumflex below", "CIRCUMFLEX ACCENT BELOW"),
            ("tilde below", "TILDE BELOW"),
            ("cedilla", "CEDILLA"),
            ("ogonek", "OGONEK"),
            ("iota subscript", "GREEK YPOGEGRAMMENI"),
        )
    ),
    ("modifier symbol", None, _category("Sk")),
    ("tone letter", "modifier symbol", _name("TONE BAR")),
    ("superscript", None, lambda sign: sign.style == "<super>"),
    ("subscript", None, lambda sign: sign.style == "<sub>"),
    ("number", None, _category("N")),
    ("decimal digit", "number", _category("Nd")),
    ("raised or lowered digit", "number", lambda sign: sign.style in ("<super>", "<sub>")),
    ("fraction", "number", lambda sign: sign.style == "<fraction>"),
    ("punctuation", None, _category("P")),
    ("bracket", "punctuation", lambda s: s.category in ("Ps", "Pe") and "QUOTATION" not in s.name),
    ("opening bracket", "bracket", _category("Ps")),
    ("closing bracket", "bracket", _category("Pe")),
    ("quotation mark", "punctuation", _name("QUOTATION MARK")),
    ("dash", "punctuation", _category("Pd")),
    ("exclamation or question mark", "punctuation", _name("(EXCLAMATION|QUESTION).*|INTERROBANG")),
    ("prime", "punctuation", _name("PRIME")),
    ("currency sign", None, _category("Sc")),
    ("math symbol", None, _category("Sm")),
    ("circled operator", "math symbol", _name("CIRCLED")),
    ("bracket piece", "math symbol", _name("PARENTHESIS|BRACKET")),
    ("integral", "math symbol", _name("INTEGRAL")),
    ("slash of negation", None, _is_negated),
    ("arrow", None, _block(0x2190, 0x21FF)),
    ("leftwards arrow", "arrow", _head("LEFT")),
    ("rightwards arrow", "arrow", _head("RIGHT")),
    ("upwards arrow", "arrow", _head("UP")),
    ("downwards arrow", "arrow", _head("DOWN")),
    ("diagonal arrow", "arrow", lambda sign: bool(_arrow_heads(sign) & {"NORTH", "SOUTH"})),
    ("arrow in two directions", "arrow", lambda sign: len(_arrow_heads(sign)) == 2),
    ("double arrow", "arrow", _name("DOUBLE ARROW")),
    ("white arrow", "arrow", _name("WHITE")),
    ("harpoon", "arrow", _name("HARPOON")),
    ("box drawing", None, _block(0x2500, 0x257F)),
    ("light box drawing", "box drawing", _name("LIGHT")),
    ("heavy box drawing", "box drawing", _name("HEAVY")),
    ("double box drawing", "box drawing", _name("DOUBLE(?! DASH)")),
    ("dashed box drawing", "box drawing", _name("DASH")),
    ("horizontal box line", "box drawing", lambda sign: {"LEFT", "RIGHT"} <= _box_arms(sign)),
    ("vertical box line", "box drawing", lambda sign: {"UP", "DOWN"} <= _box_arms(sign)),
    ("box corner", "box drawing", _is_box_corner),
    ("box tee", "box drawing", _arms(3)),
    ("box crossing", "box drawing", _arms(4)),
    ("block element", None, _block(0x2580, 0x259F)),
    ("lower block", "block element", _name("LOWER .* BLOCK")),
    ("left block", "block element", _name("LEFT .* BLOCK")),
    ("quadrant block", "block element", _name("QUADRANT")),
    ("geometric shape", None, _block(0x25A0, 0x25FF)),
    ("black shape", "geometric shape", _name("^BLACK")),
    ("white shape", "geometric shape", _name("^WHITE")),
    ("square", "geometric shape", _name("SQUARE")),
    ("circle", "geometric shape", _name("CIRCLE")),
    ("triangle", "geometric shape", _name("TRIANGLE")),
    ("astrological symbol", None, _block(0x263F, 0x2647)),
    ("card suit", None, _name("SUIT")),
    ("musical symbol", None, _block(0x2669, 0x266F)),
)

# Name, parent and a pattern in the file name of the face. DejaVu Sans Mono has no serifs.
FACE_CONCEPTS: tuple[tuple[str, str | None, str], ...] = (
    ("bold face", None, "Bold"),
    ("oblique face", None, "Oblique|Italic"),
    ("serif face", None, "Serif"),
    ("sans-serif face", None, "Sans"),
    ("monospaced face", "sans-serif face", "Mono"),
)

# The class of a sign is the first of these concepts that holds, or "other symbol" if none does.
CLASSES = (
    *(f"letter {base}" for base in LETTERS),
    *(f"{script} letter" for script in SCRIPTS),
    *("combining mark", "modifier letter", "modifier symbol"),
    *("decimal digit", "raised or lowered digit", "fraction"),
    *("bracket", "quotation mark", "punctuation", "currency sign"),
    *("arrow", "box drawing", "block element", "geometric shape", "bracket piece", "math symbol"),
)
# Classes without the signs of an earlier class, so their names begin with "other".
REMAINDERS = ("Latin letter", "modifier letter", "punctuation", "math symbol")
