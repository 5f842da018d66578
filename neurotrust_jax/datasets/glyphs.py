"""The characters of the DejaVu faces, labelled from the Unicode character database."""

import functools
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .images import LabelledImages

# Drawn at this multiple of the final size and averaged down: positions are then exact to a
# fraction of a pixel, and hinting does not bend the strokes.
_OVERSAMPLE = 4
# DejaVu's cell, which the box drawings fill, is 1.164 em high and reaches 0.236 em below the
# baseline. At this font size and with this baseline the cell fills the picture.
_EM, _BASELINE = 0.855, 0.797

# Three code points show a Q, too few for a concept or a class.
_LETTERS = "ABCDEFGHIJKLMNOPRSTUVWXYZ"
_SCRIPTS = ("Latin", "Greek", "Cyrillic", "Armenian", "Georgian")
# Free-standing accents do not always decompose (U+0060), so marks are recognised by name.
# From U+0363 on the combining characters are letters.
_MARK_CLASS = {
    unicodedata.name(chr(code)).removeprefix("COMBINING "): unicodedata.combining(chr(code))
    for code in range(0x300, 0x363)
}


class _Sign(NamedTuple):
    """What the Unicode database says of one code point."""

    code: int
    name: str
    category: str
    style: str  # of the compatibility decomposition, such as <super>; may be empty
    letters: tuple[str, ...]  # names of the letters that it decomposes into, if it is a letter
    marks: tuple[str, ...]  # diacritics that it carries, or is, without their word COMBINING


def _sign(char: str) -> _Sign:
    category = unicodedata.category(char)
    pieces = unicodedata.normalize("NFKD", char)
    letters = (unicodedata.name(piece) for piece in pieces if piece.isalpha())
    names = (re.sub("^(COMBINING|MODIFIER LETTER) ", "", unicodedata.name(p)) for p in pieces)
    # The struck-through signs of mathematics decompose too, but carry no diacritic.
    carries = category[0] == "L" or category in ("Mn", "Sk")
    return _Sign(
        code=ord(char),
        name=unicodedata.name(char),
        category=category,
        style=unicodedata.decomposition(char).partition(" ")[0],
        letters=tuple(letters) if category[0] == "L" else (),
        marks=tuple(name for name in names if carries and name in _MARK_CLASS),
    )


def _base_letter(sign: _Sign) -> str:
    """Return the only letter of a sign if it is one of A-Z in either case, else nothing."""
    if len(sign.letters) != 1:
        return ""
    plain = sign.letters[0].split(" WITH ")[0]
    match = re.fullmatch("LATIN (?:CAPITAL|SMALL) LETTER ([A-Z])", plain)
    return match[1] if match else ""


def _is_ligature(sign: _Sign) -> bool:
    """Say whether two letters are joined; an apostrophe before a letter is no second letter."""
    whole = [letter for letter in sign.letters if not letter.startswith("MODIFIER")]
    return len(whole) > 1 or _name("LIGATURE|DIGRAPH|AE")(sign)


def _arrow_heads(sign: _Sign) -> set[str]:
    """Return where an arrow's heads point; a bent arrow's head follows its tip or corner."""
    bent = re.search(r"WITH (?:TIP|CORNER) (\w+)", sign.name)
    text = bent[1] if bent else re.sub(" WITH .*| FROM .*|LEFTWARDS OF ", "", sign.name)
    return set(re.findall("LEFT|RIGHT|UP|DOWN|NORTH|SOUTH", text))


def _box_arms(sign: _Sign) -> set[str]:
    """Return the directions in which a box drawing has an arm; none if it is diagonal."""
    if "DIAGONAL" in sign.name:
        return set()
    text = sign.name.replace("HORIZONTAL", "LEFT RIGHT").replace("VERTICAL", "UP DOWN")
    return set(re.findall(r"\b(?:LEFT|RIGHT|UP|DOWN)\b", text))


def _is_box_corner(sign: _Sign) -> bool:
    """Say whether a box drawing has one horizontal arm and one vertical."""
    arms = _box_arms(sign)
    return len(arms) == 2 and len(arms & {"LEFT", "RIGHT"}) == 1


def _is_negated(sign: _Sign) -> bool:
    """Say whether a sign is another one, struck through by U+0338."""
    return "\u0338" in unicodedata.normalize("NFD", chr(sign.code))[1:]


_Test = Callable[[_Sign], bool]


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


# Name, parent, test. A concept holds where its test and its parent hold; parents come first.
_CONCEPTS: tuple[tuple[str, str | None, _Test], ...] = (
    ("letter", None, _category("L")),
    ("uppercase letter", "letter", _category("Lu")),
    ("lowercase letter", "letter", _category("Ll")),
    ("titlecase letter", "letter", _category("Lt")),
    ("modifier letter", "letter", _category("Lm")),
    *((f"{script} letter", "letter", _script(script)) for script in _SCRIPTS),
    *((f"letter {base}", "Latin letter", _letter(base)) for base in _LETTERS),
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

# The same for the file name of a face. DejaVu Sans Mono has no serifs either.
_FACE_CONCEPTS: tuple[tuple[str, str | None, str], ...] = (
    ("bold face", None, "Bold"),
    ("oblique face", None, "Oblique|Italic"),
    ("serif face", None, "Serif"),
    ("sans-serif face", None, "Sans"),
    ("monospaced face", "sans-serif face", "Mono"),
)

# The training task: a sign's class is the first of these concepts that holds, else "other symbol".
_CLASSES = (
    *(f"letter {base}" for base in _LETTERS),
    *(f"{script} letter" for script in _SCRIPTS),
    *("combining mark", "modifier letter", "modifier symbol"),
    *("decimal digit", "raised or lowered digit", "fraction"),
    *("bracket", "quotation mark", "punctuation", "currency sign"),
    *("arrow", "box drawing", "block element", "geometric shape", "bracket piece", "math symbol"),
)
# The classes from which an earlier one has taken its share.
_REMAINDERS = ("Latin letter", "modifier letter", "punctuation", "math symbol")


def glyphs(*, size: int = 28) -> LabelledImages:
    """Draw every visible character that the twelve DejaVu faces of matplotlib share.

    2,363 code points in twelve faces: Sans, Sans Mono and Serif, each regular, bold, oblique
    and bold oblique. All share one baseline and one font size, so a comma sits low and an
    apostrophe high; a sign is centred by its advance width (a combining mark by its ink), and one
    that does not fit is drawn smaller rather than cut.

    Labels are those of the Unicode character database, not of the picture: Latin A, Greek Alpha and
    Cyrillic A are three signs that look alike, and the cedilla of a Latvian letter is drawn as a
    comma. A concept holds for a sign that decomposes into what it names, so that "letter H" holds
    for a superscript h as well. Characters that Unicode calls equivalent (the Greek letters with
    tonos and with oxia) are kept apart.

    Parameters
    ----------
    size : int
        Height and width of the images in pixels, at least 8.

    Returns
    -------
    LabelledImages
        The twelve faces of a code point follow each other and form a group. The target is the base
        letter A-Z (but Q), or the family of any other sign.

    Raises
    ------
    ValueError
        If the size is below 8.
    """
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size}")
    import matplotlib
    from matplotlib.ft2font import FT2Font

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    faces = sorted(path for path in folder.glob("DejaVu*.ttf") if "Display" not in path.name)
    shared = set.intersection(*(set(FT2Font(str(face)).get_charmap()) for face in faces))
    chars = [char for char in map(chr, sorted(shared)) if unicodedata.category(char)[0] not in "CZ"]
    images = np.stack([_draw(face, chars, size) for face in faces], axis=1)
    visible = np.all(images.any(axis=(2, 3)), axis=1)
    images = images[visible]
    signs = [_sign(char) for char, drawn in zip(chars, visible, strict=True) if drawn]

    of_sign: dict[str, np.ndarray] = {}
    for name, parent, test in _CONCEPTS:
        holds = np.array([test(sign) for sign in signs])
        of_sign[name] = holds & of_sign[parent] if parent else holds
    of_face = {
        name: np.array([re.search(pattern, face.stem) is not None for face in faces])
        for name, _, pattern in _FACE_CONCEPTS
    }
    # A sign's faces follow each other.
    sign_columns = np.repeat(np.stack([*of_sign.values()], axis=1), len(faces), axis=0)
    face_columns = np.tile(np.stack([*of_face.values()], axis=1), (len(signs), 1))
    names = (*of_sign, *of_face)
    parents = [parent for _, parent, _ in (*_CONCEPTS, *_FACE_CONCEPTS)]

    member = np.stack([*(of_sign[name] for name in _CLASSES), np.ones(len(signs), bool)])
    # "DejaVuSansMono-BoldOblique" reads "DejaVu Sans Mono Bold Oblique".
    face_names = [re.sub("(?<=[a-z])(?=[BIMOS])|-", " ", face.stem) for face in faces]
    return LabelledImages(
        images=images.reshape(-1, size, size, 1) / np.float32(255),
        concepts=np.concatenate([sign_columns, face_columns], axis=1),
        concept_names=names,
        concept_parent=np.array([names.index(p) if p else -1 for p in parents], np.int32),
        targets=np.repeat(member.argmax(axis=0), len(faces)).astype(np.int32),
        target_names=(
            *(f"other {name}" if name in _REMAINDERS else name for name in _CLASSES),
            "other symbol",
        ),
        groups=np.repeat(np.arange(len(signs), dtype=np.int32), len(faces)),
        example_names=tuple(f"{sign.name} · {face}" for sign in signs for face in face_names),
    )


def _draw(face: Path, chars: list[str], size: int) -> np.ndarray:
    """Draw the characters in one face: uint8 array [P, size, size]."""
    from PIL import Image, ImageDraw, ImageFont

    side = size * _OVERSAMPLE
    centre, baseline, em = side / 2, round(side * _BASELINE), round(side * _EM)

    # The basic layout is part of Pillow; the other depends on what the machine has installed.
    @functools.cache
    def font(pixels: int) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(str(face), pixels, layout_engine=ImageFont.Layout.BASIC)

    def ink(char: str, pixels: int) -> tuple[float, float, float, float]:
        # Font.getbbox would include the pen's way, which for a combining mark is not where it is.
        mask, (x, y) = font(pixels).getmask2(char, mode="L", anchor="ls")
        left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
        return x + left, y + top, x + right, y + bottom

    pictures = np.empty((len(chars), size, size), np.uint8)
    for row, char in enumerate(chars):
        pixels = em
        while True:
            left, top, right, bottom = ink(char, pixels)
            is_mark = unicodedata.category(char) == "Mn"
            middle = (left + right) / 2 if is_mark else font(pixels).getlength(char) / 2
            # How far the ink reaches, as a multiple of what the picture has room for.
            reach = max(
                (right - middle) / centre,
                (middle - left) / centre,
                -top / baseline,
                bottom / (side - baseline),
            )
            if reach <= 1:
                break
            pixels = min(pixels - 1, int(pixels / reach))
        canvas = Image.new("L", (side, side))
        ImageDraw.Draw(canvas).text(
            (centre - middle, baseline), char, fill=255, font=font(pixels), anchor="ls"
        )
        pictures[row] = np.asarray(canvas.reduce(_OVERSAMPLE))
    return pictures
