"""The README is true: its example runs and its table is the library's."""

import re
from pathlib import Path

import pytest

import neurotrust_jax as nt
from neurotrust_jax.planning import ROWS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.x32
def test_example_runs():
    scope = {}
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
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


@pytest.mark.x32
def test_planning_table_is_what_required_samples_says():
    rows = re.findall(r"^\| (.*`) .*\| [a-z; ]+ \| ([\d, |]+) \|$", README, re.MULTILINE)
    table = {
        name: [int(x.replace(",", "")) for x in cells.split(" | ")]
        for names, cells in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert table == {
        metric: [
            int(nt.required_samples(metric, 0.1, concept_frequency=p, num_concepts=256).samples)
            for p in (0.5, 0.1, 0.01)
        ]
        for metric in ROWS
    }
