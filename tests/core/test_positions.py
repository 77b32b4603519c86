"""Position ids, tables and their reading at other sizes."""

from __future__ import annotations

import math

import pytest
import torch

from omni.core.positions import (
    AbsolutePositions1d,
    AbsolutePositions2d,
    GridBias,
    LogBucketBias,
    add_summary_ids,
    grid_ids,
    log_bucket_ids,
)
from omni.core.resampling import offset_matrix, spline_matrix
from tests.core import one_peace_case as published


@pytest.mark.parametrize("bucket", [16, 256, 512])
def test_log_buckets_are_the_published_ones(bucket: int) -> None:
    """All distances of 1024 positions."""
    ids = log_bucket_ids(1024, bucket=bucket)
    place = torch.arange(1024)
    expected = published.reference()[f"constant/bucket_of_distance_{bucket}"].long()
    assert torch.equal(ids, expected[place[:, None] - place[None] + 1023])


def test_longer_than_trained_shares_the_last_bucket() -> None:
    """Distances of 1024 and more stay inside the table."""
    ids = log_bucket_ids(3000, bucket=16)
    assert ids.min() == 0 and ids.max() == 30
    assert ids[2999, 0] == 30 and ids[0, 2999] == 0
    assert torch.equal(ids[:1024, :1024], log_bucket_ids(1024, bucket=16))


def test_grid_ids() -> None:
    """Offsets of a 2 x 3 grid, by definition; a smaller grid inside a larger table."""
    ids = grid_ids(2, 3)
    for query in range(6):
        for key in range(6):
            down, right = query // 3 - key // 3, query % 3 - key % 3
            assert ids[query, key] == (down + 1) * 5 + right + 2
    assert grid_ids(2, 3, grid=(4, 4))[5, 0] == (1 + 3) * 7 + 2 + 3


def test_summary_ids() -> None:
    """Row, column and corner of the summary token."""
    ids = add_summary_ids(torch.zeros(2, 2, dtype=torch.long), num_ids=9)
    assert ids.tolist() == [[11, 9, 9], [10, 0, 0], [10, 0, 0]]


def test_bias_tables_start_at_zero_and_give_each_layer_its_own() -> None:
    """Shapes, start, gradient counts."""
    bias = LogBucketBias(num_heads=3, bucket=8, num_tables=2)
    first, second = bias(6)
    assert first.shape == (1, 3, 6, 6) and not first.any() and second is not first
    first.sum().backward()
    assert bias.tables[0].grad.sum() == 3 * 36 and bias.tables[1].grad is None
    with torch.no_grad():
        bias.tables[0].copy_(torch.arange(18.0)[:, None].expand(-1, 3))
    assert bias(6)[0][0, 0, 0].tolist() == [17, 15, 15, 15, 15, 15]
    assert bias(6)[0][0, 0, 3].tolist() == [16, 9, 8, 7, 6, 5]


@pytest.mark.parametrize(("old", "new", "key"), [(4, 5, "4_to_5"), (16, 24, "16_to_24")])
def test_larger_grids_read_the_table_as_published(old: int, new: int, key: str) -> None:
    """The published load-time resizing, computed by another spline code."""
    name = "encoder_wrapper.image_adapter.rel_pos_table_list.0.weight"
    table = published.reference()["constant/rel_pos_table_16"] if old == 16 else published.published_state()[name]
    bias = GridBias(num_heads=table.shape[1], grid=(old, old), published=True)
    expected = published.reference()[f"constant/rel_pos_table_{key}"]
    torch.testing.assert_close(bias.resized(table, height=new, width=new), expected, atol=2e-6, rtol=0)


def test_grid_bias_at_any_aspect() -> None:
    """Smaller grids use the learnt offsets; a long axis stretches alone, onto the learnt farthest offset."""
    bias = GridBias(num_heads=2, grid=(3, 4))
    with torch.no_grad():
        bias.tables[0].normal_()
    small, whole = bias(2, 3)[0], bias(3, 4)[0]
    kept = [0, 1, 2, 3, 5, 6, 7]
    assert torch.equal(small, whole[:, :, kept][..., kept])
    wide = bias(3, 9)[0]
    assert wide.shape == (1, 2, 28, 28)
    torch.testing.assert_close(wide[0, :, 1, 9], whole[0, :, 1, 4], atol=1e-4, rtol=0)  # first to last of a row
    torch.testing.assert_close(wide[0, :, 1, 19], whole[0, :, 1, 9], atol=1e-5, rtol=0)  # two rows down, same column
    assert torch.equal(wide[0, :, 0, 0], whole[0, :, 0, 0])


def test_offset_matrix() -> None:
    """Rows sum to 1 (a constant table stays constant); a single learnt offset is shared; a cut is exact."""
    for new, old in ((5, 3), (20, 4), (7, 2), (9, 1), (3, 5)):
        matrix = offset_matrix(new, old)
        assert matrix.shape == (2 * new - 1, 2 * old - 1)
        torch.testing.assert_close(matrix.sum(1), torch.ones(2 * new - 1, dtype=torch.float64))
    assert torch.equal(offset_matrix(2, 3), torch.eye(5, dtype=torch.float64)[1:4])


def test_spline_is_exact_for_cubics() -> None:
    """An interpolating not-a-knot spline reproduces any cubic."""
    knots = torch.tensor([-4.0, -2.5, -1, 0, 0.5, 3, 4], dtype=torch.float64)
    where = torch.linspace(-4, 4, 33, dtype=torch.float64)

    def cubic(x: torch.Tensor) -> torch.Tensor:
        return 1 - 2 * x + 0.5 * x**2 + 0.25 * x**3

    torch.testing.assert_close(spline_matrix(knots, where) @ cubic(knots), cubic(where))


def test_absolute_positions() -> None:
    """Rows in order; another grid is the bicubic reading, the summary token's row untouched."""
    line = AbsolutePositions1d(width=8, max_length=6)
    assert torch.equal(line(4)[0], line.weight[:4])
    plane = AbsolutePositions2d(width=8, grid=(4, 4))
    assert torch.equal(plane(4, 4)[0], plane.weight)
    larger = plane(6, 3)
    assert larger.shape == (1, 19, 8) and torch.equal(larger[0, 0], plane.weight[0])
    with torch.no_grad():
        plane.weight[1:] = 2.0
    torch.testing.assert_close(plane(5, 7)[0, 1:], torch.full((35, 8), 2.0))
    larger.sum().backward()
    assert plane.weight.grad.abs().sum() > 0
    assert math.isclose(float(plane.weight[0].detach().abs().max()), float(plane(6, 3)[0, 0].detach().abs().max()))
