"""The parts of `glyphs.py`."""
