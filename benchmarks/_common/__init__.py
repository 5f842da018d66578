"""What the benchmarks share.

Each benchmark is a script, ``NAME.py``, whose parts are in the folder ``_NAME``. They share options
and exit status (`command_line`), JSON files (`results`), tables and progress (`terminal`), the
style of figures (`figures`), populations that are known as a whole (`populations`), and labels,
sets and errors where the truth is known (`truth`).
"""
