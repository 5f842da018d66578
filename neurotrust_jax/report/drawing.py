"""Colours and words that all figures share."""

from __future__ import annotations

from .._runtime.text import visible

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "counted", "drawable"]

LONGEST = 40  # characters of a name
PICTURES = dict.fromkeys(range(0x2400, 0x2420), "\ufffd")  # of control characters; fonts lack them
# Okabe and Ito's palette, which colour-blind readers can tell apart
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"


def drawable(name: str) -> str:
    """A name as it can be drawn; a long one is cut."""
    text = visible(name) if len(name) <= LONGEST else f"{visible(name[: LONGEST - 1])}…"
    return text.translate(PICTURES)


def counted(count: int, noun: str) -> str:
    """A number and its noun, in the plural unless there is one."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")
