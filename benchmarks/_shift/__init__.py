"""The parts of `shift.py`."""
