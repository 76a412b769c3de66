"""Boxes of voxels, and the matrix of a part of a volume."""

import numpy as np
import pytest
from CRLMSegmentationLib.core.box import Box, trimmed_mask
from CRLMSegmentationLib.core.geometry import part_to_ras, transform_points
from scipy.spatial.transform import Rotation

SHAPE = (10, 12, 14)


def test_box_of_a_mask_is_the_smallest_that_holds_it():
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 3, 7:9] = True
    mask[4, 6, 8] = True
    box = Box.of_mask(mask)
    assert box == Box((2, 3, 7), (5, 7, 9))
    assert box.slices == (slice(2, 5), slice(3, 7), slice(7, 9))
    assert box.shape == (3, 4, 2)
    assert mask[box.slices].sum() == mask.sum()


def test_trimmed_mask_lies_where_its_voxels_lie():
    mask = np.zeros(SHAPE, bool)
    mask[2:5, 3, 7:9] = True
    part, offset = trimmed_mask(mask, (10, 20, 30))
    assert part.all()
    assert part.shape == (3, 1, 2)
    assert offset == (12, 23, 37)
    assert not np.shares_memory(part, mask)


def test_trimmed_mask_of_nothing_is_empty():
    part, _ = trimmed_mask(np.zeros(SHAPE, bool))
    assert part.shape == (0, 0, 0)
    with pytest.raises(ValueError, match="empty"):
        Box.of_nonempty_mask(np.zeros(SHAPE, bool))


def test_empty_mask_has_no_box():
    assert Box.of_mask(np.zeros(SHAPE, bool)) is None
    assert Box.of_mask(np.zeros((0, 0, 0), bool)) is None


@pytest.mark.parametrize("offset", [(0, 0, 0), (2, 3, 4)])
def test_part_holds_plain_integers(offset):
    box = Box.of_part(np.array(offset), (3, 2, 1))
    assert box == Box(offset, tuple(a + b for a, b in zip(offset, (3, 2, 1))))
    assert {type(n) for n in (*box.start_kji, *box.stop_kji)} == {int}  # JSON takes no numpy integers


def test_padding_ends_at_the_volume():
    box = Box((1, 5, 11), (3, 6, 13))
    assert box.padded(2, SHAPE) == Box((0, 3, 9), (5, 8, 14))
    assert box.padded((0, 1, 9), SHAPE) == Box((1, 4, 2), (3, 7, 14))


def test_boxes_that_do_not_overlap_share_an_empty_one():
    one, other = Box((0, 0, 0), (4, 4, 4)), Box((2, 3, 1), (9, 9, 9))
    assert one.intersect(other) == Box((2, 3, 1), (4, 4, 4))
    assert not one.intersect(other).is_empty
    assert one.intersect(Box((4, 0, 0), (5, 4, 4))).is_empty
    assert one.intersect(Box((7, 0, 0), (9, 4, 4))).is_empty


def test_box_around_others():
    assert Box.around([Box((1, 5, 3), (2, 6, 4)), Box((0, 7, 3), (1, 8, 9))]) == Box((0, 5, 3), (2, 8, 9))


def test_box_within_another():
    whole = Box.of_shape(SHAPE)
    assert Box((0, 1, 2), SHAPE).is_within(whole)
    assert not Box((0, 1, 2), (10, 12, 15)).is_within(whole)
    assert not Box((-1, 0, 0), (2, 2, 2)).is_within(whole)


def test_shift_and_its_inverse():
    box, part = Box((1, 2, 3), (4, 5, 6)), Box((10, 20, 30), (40, 50, 60))
    assert box.shifted(part.start_kji) == Box((11, 22, 33), (14, 25, 36))
    assert box.shifted(part.start_kji).relative_to(part) == box


def test_corners_are_points_in_the_order_i_j_k():
    box = Box((1, 2, 3), (2, 4, 6))
    assert {tuple(point) for point in box.corner_centers_ijk} == {(i, j, 1) for i in (3, 5) for j in (2, 3)}
    assert len(box.corner_centers_ijk) == 8
    np.testing.assert_array_equal(box.corners_ijk.min(0), [2.5, 1.5, 0.5])
    np.testing.assert_array_equal(box.corners_ijk.max(0), [5.5, 3.5, 1.5])


def test_matrix_of_a_part_of_an_oblique_left_handed_volume():
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() @ np.diag([0.4, 0.7, -1.2])
    ijk_to_ras[:3, 3] = 10, -20, 30
    before = ijk_to_ras.copy()
    part = part_to_ras(ijk_to_ras, (4, 3, 2))
    np.testing.assert_allclose(transform_points(part, [1, 1, 1]), transform_points(ijk_to_ras, [3, 4, 5]))
    np.testing.assert_array_equal(part[:3, :3], ijk_to_ras[:3, :3])
    np.testing.assert_array_equal(ijk_to_ras, before)
