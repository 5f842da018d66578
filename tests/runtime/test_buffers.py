"""Arrays whose memory later arrays take over."""

import jax
import numpy as np
import pytest

from neurotrust_jax._runtime import buffers
from neurotrust_jax._runtime.buffers import empty, memory_taken_over

SHAPE = 512, 1024  # two megabytes


@pytest.mark.parametrize("shape", [SHAPE, (0, 5), (3,)])
@pytest.mark.parametrize("taken_over", [False, True])
def test_an_array_is_as_numpy_makes_it_and_jax_takes_it_without_a_copy(shape, taken_over):
    def check():
        array = empty(shape, np.float32)
        assert (array.shape, array.dtype) == (shape, np.float32)
        assert array.flags.writeable
        array[...] = 1
        ours = jax.device_put(array)
        assert array.size == 0 or ours.unsafe_buffer_pointer() == array.ctypes.data

    if not taken_over:
        check()
        return
    with memory_taken_over():
        check()


def test_memory_goes_to_the_next_array_that_fits_once_nothing_holds_it():
    with memory_taken_over():
        first = empty(SHAPE, np.float32)
        where = first.ctypes.data
        view = first[1:]
        del first
        second = empty(SHAPE, np.float32)
        assert second.ctypes.data != where  # a view is left
        del view
        third = empty((SHAPE[0] - 1, SHAPE[1]), np.float32)
        assert third.ctypes.data == where


def test_an_array_of_jax_keeps_its_memory():
    with memory_taken_over():
        array = empty(SHAPE, np.float32)
        array[...] = 1
        where, ours = array.ctypes.data, jax.device_put(array)
        del array
        later = empty(SHAPE, np.float32)
        later[...] = 2
        assert later.ctypes.data != where
        assert float(ours.min()) == float(ours.max()) == 1


def test_no_memory_is_kept_at_the_end():
    with memory_taken_over():
        with memory_taken_over():
            empty(SHAPE, np.float32)
            assert len(buffers._SPARE.pieces) == 1
        assert buffers._SPARE.pieces  # an outer one still uses it
        late = empty(SHAPE, np.float32)
        empty(SHAPE, np.float32)
        assert buffers._SPARE.pieces
    assert not buffers._SPARE.pieces
    del late
    assert not buffers._SPARE.pieces


@pytest.mark.parametrize(("size", "taken"), [(1000, 1000), (999, 1000), (1001, 1001), (499, 499)])
def test_memory_that_does_not_fit_is_given_back_before_more_is_asked_for(size, taken):
    spare = buffers._Spare()
    spare.users = 1
    spare.put(np.empty(1000, np.uint8))
    assert len(spare.take(size)) == taken
    assert not spare.pieces
