"""Images of the characters of the DejaVu faces, with concepts from the Unicode database."""

import functools
import re
import unicodedata
from pathlib import Path

import numpy as np

from .glyph_concepts import CLASSES, CONCEPTS, FACE_CONCEPTS, REMAINDERS, Sign, sign_of
from .images import LabelledImages

# Characters are drawn at this multiple of the final size and averaged down, so that positions are
# exact to a fraction of a pixel and hinting does not bend the strokes.
_OVERSAMPLE = 4
# DejaVu's cell, which the box drawings fill, is 1.164 em high and extends 0.236 em below the
# baseline. With this font size and this baseline, as shares of the image, the cell fills the image.
_EM, _BASELINE = 0.855, 0.797


def glyphs(*, size: int = 28) -> LabelledImages:
    """Draw every visible character that the twelve DejaVu faces of matplotlib share.

    There are 2,363 code points in twelve faces: Sans, Sans Mono and Serif, each regular, bold,
    oblique and bold oblique. All share one baseline and one font size, so a comma is low and an
    apostrophe high. A character is centred by its advance width (a combining mark by its ink), and
    drawn smaller if it does not fit.

    Concepts are those of the Unicode character database, not of the image: Latin A, Greek Alpha and
    Cyrillic A are three characters that look alike, and the cedilla of a Latvian letter is drawn as
    a comma. A concept holds for a character that decomposes into what the concept names, so "letter
    H" also holds for a superscript h. Characters that Unicode calls equivalent (the Greek letters
    with tonos and with oxia) are separate.

    Parameters
    ----------
    size : int
        Height and width of the images in pixels, at least 8.

    Returns
    -------
    LabelledImages
        28,356 images [size, size, 1]. The twelve faces of a code point are next to each other and
        form a group. The target is the base letter A-Z (except Q), or the family of any other
        character.

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
    signs = [sign_of(char) for char, drawn in zip(chars, visible, strict=True) if drawn]
    return _labelled(images, signs, [face.stem for face in faces])


def _labelled(images: np.ndarray, signs: list[Sign], faces: list[str]) -> LabelledImages:
    """Add the concepts and classes to images [P, F, size, size] of P signs in F faces."""
    of_sign: dict[str, np.ndarray] = {}
    for name, parent, test in CONCEPTS:
        holds = np.array([test(sign) for sign in signs])
        of_sign[name] = holds & of_sign[parent] if parent else holds
    of_face = {
        name: np.array([re.search(pattern, face) is not None for face in faces])
        for name, _, pattern in FACE_CONCEPTS
    }
    # The faces of a sign are next to each other.
    sign_columns = np.repeat(np.stack([*of_sign.values()], axis=1), len(faces), axis=0)
    face_columns = np.tile(np.stack([*of_face.values()], axis=1), (len(signs), 1))
    names = (*of_sign, *of_face)
    parents = [parent for _, parent, _ in (*CONCEPTS, *FACE_CONCEPTS)]

    member = np.stack([*(of_sign[name] for name in CLASSES), np.ones(len(signs), bool)])
    # "DejaVuSansMono-BoldOblique" becomes "DejaVu Sans Mono Bold Oblique".
    face_names = [re.sub("(?<=[a-z])(?=[BIMOS])|-", " ", face) for face in faces]
    return LabelledImages(
        images=images.reshape(-1, *images.shape[2:], 1) / np.float32(255),
        concepts=np.concatenate([sign_columns, face_columns], axis=1),
        concept_names=names,
        concept_parent=np.array([names.index(p) if p else -1 for p in parents], np.int32),
        targets=np.repeat(member.argmax(axis=0), len(faces)).astype(np.int32),
        target_names=(
            *(f"other {name}" if name in REMAINDERS else name for name in CLASSES),
            "other symbol",
        ),
        groups=np.repeat(np.arange(len(signs), dtype=np.int32), len(faces)),
        example_names=tuple(f"{sign.name} · {face}" for sign in signs for face in face_names),
    )


def _draw(face: Path, chars: list[str], size: int) -> np.ndarray:
    """Draw P characters in one face, as a uint8 array [P, size, size]."""
    from PIL import Image, ImageDraw, ImageFont

    side = size * _OVERSAMPLE
    centre, baseline, em = side / 2, round(side * _BASELINE), round(side * _EM)

    # The basic layout is part of Pillow; the other depends on the libraries of the machine.
    @functools.cache
    def font(pixels: int) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(str(face), pixels, layout_engine=ImageFont.Layout.BASIC)

    def ink(char: str, pixels: int) -> tuple[float, float, float, float]:
        # Font.getbbox would include the advance, which is elsewhere for a combining mark.
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
            # The extent of the ink on each side, as a multiple of the room in the image.
            extent = max(
                (right - middle) / centre,
                (middle - left) / centre,
                -top / baseline,
                bottom / (side - baseline),
            )
            if extent <= 1:
                break
            pixels = min(pixels - 1, int(pixels / extent))
        canvas = Image.new("L", (side, side))
        ImageDraw.Draw(canvas).text(
            (centre - middle, baseline), char, fill=255, font=font(pixels), anchor="ls"
        )
        pictures[row] = np.asarray(canvas.reduce(_OVERSAMPLE))
    return pictures
