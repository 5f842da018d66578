"""The README is true: its example runs and its table is the library's."""

import re
from pathlib import Path

import pytest

import neurotrust_jax as nt

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.x32
def test_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope = {}
    exec(example, scope)
    assert scope["result"].description(0) in scope["probe"].concept_names


@pytest.mark.x32
def test_table_lists_every_metric_with_its_alias():
    rows = re.findall(r"^\| `(\w+)` \| (\w+), (\w+) \|.*\| (?:`(\w+)`)? \|$", README, re.MULTILINE)
    table = {name: (neuron, concept, alias or None) for name, neuron, concept, alias in rows}
    assert table == {
        m.name: (m.neuron_view, m.concept_view, nt.NEURON_EVAL_NAMES.get(m.name))
        for m in nt.METRICS.values()
    }
