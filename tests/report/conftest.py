"""The audit that several tests of reports read."""

import jax
import numpy as np
import pytest
from builders import planted_probe

import neurotrust_jax as nt


@pytest.fixture(scope="session")
def audited():
    with jax.enable_x64(False):
        probe = planted_probe(groups=np.arange(1500) // 5)
        return nt.audit(
            jax.random.key(0), probe, "iou", num_replicates=200, num_permutations=99, layer="block"
        )
