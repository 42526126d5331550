import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.blocks import blocks


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 25)), min_size=1, max_size=4))
def test_blocks_make_up_the_array_of_whole_chunks(sides: list[tuple[int, int]]) -> None:
    shape, chunks = zip(*sides, strict=True)
    count = np.zeros(shape, int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isoslice.data.blocks.MAX_BLOCK_BYTES", 400)
        for block in blocks(shape, chunks, 2):
            count[block] += 1
            assert all(part.start % chunk == 0 for part, chunk in zip(block, chunks, strict=True))
            chunk_size = math.prod(map(min, shape, chunks))
            assert count[block].size <= max(200, chunk_size)
    assert (count == 1).all()


def test_blocks_are_as_large_as_they_may_be() -> None:
    found = list(blocks((100, 1000, 1000), (1, 1, 1), 2))
    assert len(found) == 7  # 16 planes of 2 MB in 32 MB
    assert found[0] == (slice(0, 16), slice(0, 1000), slice(0, 1000))
