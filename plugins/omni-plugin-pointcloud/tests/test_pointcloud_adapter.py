"""The adapter: the same to the last bit whatever the order of the points; farthest points against a slow reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from omni.errors import ConfigError, InputError
from omni_plugin_pointcloud.adapter import MiniPointNet, PointcloudAdapter
from omni_plugin_pointcloud.grouping import canonical_order, farthest_points, nearest

FEATURES = ("color", "normal")


def adapter(**options: object) -> PointcloudAdapter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PointcloudAdapter(width=32, num_heads=4, num_layers=2, **options)


def inputs(points_BN3: Tensor, features: bool = False, valid_BN: Tensor | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    found = {"points_BN3": points_BN3, "valid_BN": torch.ones(points_BN3.shape[:2], dtype=torch.bool)}
    if valid_BN is not None:
        found["valid_BN"] = valid_BN
    if features:
        found["features_BNC"] = torch.rand(*points_BN3.shape[:2], 8, generator=generator)
    return found


def random_cloud(count: int, seed: int = 0, batch: int = 1) -> Tensor:
    return torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed)) / 3


def grid_cloud() -> Tensor:
    """A lattice with every symmetry of the cube: all distances are tied many times."""
    steps = torch.linspace(-1, 1, 5)
    return torch.cartesian_prod(steps, steps, steps)[None]


def slow_farthest(points_N3: np.ndarray, count: int) -> list[int]:
    """The definition in float64, a loop over points; ties go to the smallest coordinates."""
    points = [tuple(map(float, row)) for row in points_N3]
    middle = tuple((min(axis) + max(axis)) / 2 for axis in zip(*points, strict=True))

    def far(first: tuple[float, ...], second: tuple[float, ...]) -> float:
        return sum((a - b) ** 2 for a, b in zip(first, second, strict=True))

    def best(score: list[float]) -> int:
        return min(range(len(points)), key=lambda n: (-score[n], points[n]))

    chosen = [best([far(point, middle) for point in points])]
    while len(chosen) < count:
        score = [min(far(point, points[pick]) for pick in chosen) for point in points]
        if max(score) == 0:
            break
        chosen.append(best(score))
    return chosen


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("cloud", ["random", "lattice", "twice"])
def test_the_order_of_the_points_changes_no_bit(cloud: str, features: bool) -> None:
    points = {
        "random": random_cloud(200), "lattice": grid_cloud(), "twice": random_cloud(60).repeat(1, 3, 1),
    }[cloud]  # fmt: skip
    model = adapter(groups=24, neighbours=8, features=FEATURES if features else ())
    given = inputs(points, features)
    with torch.no_grad():
        first = model(given)
        for seed in range(5):
            order = torch.randperm(points.shape[1], generator=torch.Generator().manual_seed(seed))
            again = model({key: value[:, order] for key, value in given.items()})
            for name in ("tokens_BLD", "valid_BL", "positions_BLP"):
                assert torch.equal(getattr(again, name), getattr(first, name)), (seed, name)
    other = points.clone()
    other[0, 3, 1] += 0.1
    moved = {**given, "points_BN3": other}
    with torch.no_grad():
        assert not torch.equal(model(moved).tokens_BLD, first.tokens_BLD)  # and a moved point does


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_farthest_points_are_those_of_the_definition(seed: int, ties: bool) -> None:
    """Coordinates are multiples of 1/64 (with ties: of 1/4, many points equal), so that float32 is exact."""
    generator = torch.Generator().manual_seed(seed)
    size = 4 if ties else 64
    points = torch.randint(-size, size + 1, (1, 90, 3), generator=generator) / size
    order = canonical_order(points, None, torch.ones(1, 90, dtype=torch.bool))
    points = points.gather(1, order[..., None].expand_as(points))
    index_BG, valid_BG, distance_BGN = farthest_points(points, torch.ones(1, 90, dtype=torch.bool), 40)
    wanted = slow_farthest(points[0].numpy(), 40)
    assert points[0, index_BG[0, valid_BG[0]]].tolist() == points[0, wanted].tolist()
    exact = (points[0, index_BG[0]].double()[:, None] - points[0].double()[None]).square().sum(2)
    assert torch.equal(distance_BGN[0].double(), exact)


def test_farthest_points_agree_with_float64_where_nothing_is_tied() -> None:
    points = random_cloud(400, seed=9)
    valid = torch.ones(1, 400, dtype=torch.bool)
    single, double = (farthest_points(points.to(kind), valid, 64)[0] for kind in (torch.float32, torch.float64))
    assert torch.equal(single, double) and single[0].unique().numel() == 64


def test_centres_end_where_the_places_do() -> None:
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)))
    points = corners.repeat_interleave(3, 0)[None]  # 24 points at 8 places
    _, valid_BG, _ = farthest_points(points, torch.ones(1, 24, dtype=torch.bool), 16)
    assert valid_BG[0].tolist() == [True] * 8 + [False] * 8
    sequence = adapter(groups=16)(inputs(points))
    assert sequence.valid_BL.sum() == 9 and sequence.tokens_BLD.isfinite().all()


def test_nearest_takes_the_first_of_equally_near_points() -> None:
    distance_BGN = torch.tensor([[[4.0, 1.0, 0.0, 1.0, 1.0, torch.inf], [0.0, 9.0, torch.inf, torch.inf, 2.0, 2.0]]])
    index_BGK, valid_BGK = nearest(distance_BGN, 3)
    assert index_BGK.tolist() == [[[1, 2, 3], [0, 4, 5]]] and valid_BGK.all()
    index_BGK, valid_BGK = nearest(distance_BGN, 5)
    assert index_BGK.tolist() == [[[0, 1, 2, 3, 4], [0, 1, 2, 4, 5]]]
    assert valid_BGK.tolist() == [[[True] * 5, [True, True, False, True, True]]]


def test_nearest_against_a_sort() -> None:
    points = random_cloud(150, seed=3)
    _, _, distance_BGN = farthest_points(points, torch.ones(1, 150, dtype=torch.bool), 20)
    index_BGK, _ = nearest(distance_BGN, 12)
    wanted = torch.cdist(points.double(), points.double())[0].gather(
        0, farthest_points(points, torch.ones(1, 150, dtype=torch.bool), 20)[0][0][:, None].expand(-1, 150)
    )
    assert torch.equal(index_BGK[0], wanted.argsort(1)[:, :12].sort(1).values)


@pytest.mark.parametrize("features", [(), FEATURES])
def test_a_cloud_among_larger_ones_is_as_alone(features: tuple[str, ...]) -> None:
    model = adapter(groups=16, neighbours=8, features=features)
    small, large = random_cloud(11, seed=1), random_cloud(90, seed=2)
    with torch.no_grad():
        alone = model(inputs(small, bool(features)))
        padded = torch.cat((torch.nn.functional.pad(small, (0, 0, 0, 79), value=7.0), large))
        valid = torch.arange(90)[None] < torch.tensor([[11], [90]])
        given = inputs(padded, bool(features), valid)
        if features:
            given["features_BNC"][0, :11] = inputs(small, True)["features_BNC"][0]
        both = model(given)
    assert both.valid_BL.sum(1).tolist() == [12, 17] and alone.valid_BL.sum() == 12
    real = alone.valid_BL[0]
    assert torch.allclose(both.tokens_BLD[0][both.valid_BL[0]], alone.tokens_BLD[0][real], atol=1e-6)
    assert torch.equal(both.positions_BLP[0][both.valid_BL[0]], alone.positions_BLP[0][real])


def test_one_point_and_two() -> None:
    for count in (1, 2):
        sequence = adapter()(inputs(random_cloud(count)))
        assert sequence.valid_BL.sum() == 1 + count and sequence.tokens_BLD.isfinite().all()


def test_a_group_is_the_same_in_any_order_and_sees_no_padding() -> None:
    net = MiniPointNet(channels=3, hidden=8, width=16).eval()
    points = random_cloud(6)
    valid = torch.tensor([[True] * 4 + [False] * 2])
    with torch.no_grad():
        whole = net(points, valid)
        assert torch.equal(net(points[:, [3, 1, 2, 0, 5, 4]], valid[:, [3, 1, 2, 0, 5, 4]]), whole)
        assert torch.allclose(net(points[:, :4], valid[:, :4]), whole, atol=1e-6)


def test_gradients_are_finite_where_groups_are_empty() -> None:
    model = adapter(groups=8, neighbours=4)
    given = inputs(random_cloud(6, batch=2), valid_BN=torch.tensor([[True] * 6, [True] + [False] * 5]))
    model(given).tokens_BLD.square().sum().backward()
    assert all(value.grad.isfinite().all() for value in model.parameters())


def test_the_adapter_changes_clouds_in_training_only() -> None:
    model = adapter(groups=8, features=["color", "normal"], augment=dict(rotate=180, drop=0.9, jitter=0.01), up="y")
    given = inputs(random_cloud(40, batch=2), features=True)
    torch.manual_seed(0)
    with torch.no_grad():
        first, second = model.train()(given), model(given)
        assert not torch.equal(first.tokens_BLD, second.tokens_BLD) and first.tokens_BLD.isfinite().all()
        model.eval()
        assert torch.equal(model(given).tokens_BLD, model(given).tokens_BLD)
        points, features, valid = model._changed(given["points_BN3"], given["features_BNC"], given["valid_BN"])
    turned = torch.linalg.lstsq(given["points_BN3"][0], points[0]).solution  # one turn for points and normals
    assert torch.allclose(given["features_BNC"][0, :, 4:7] @ turned, features[0, :, 4:7], atol=0.05)
    assert torch.equal(features[..., [0, 1, 2, 3, 7]], given["features_BNC"][..., [0, 1, 2, 3, 7]])
    assert 0 < valid.sum() < 80 and valid.any(1).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda given: given.pop("valid_BN"), "reads points_BN3, valid_BN; the batch has points_BN3"),
        (lambda given: given.update(points_BN3=torch.zeros(1, 5, 2)), "do not fit together"),
        (lambda given: given.update(valid_BN=torch.zeros(1, 5, dtype=torch.bool)), "Cloud 0 of the batch has no point"),
    ],
)
def test_tensors_that_do_not_fit(change: object, words: str) -> None:
    given = inputs(random_cloud(5))
    change(given)
    with pytest.raises(InputError, match=words):
        adapter()(given)
    with pytest.raises(InputError, match="features"):
        adapter(features=["color"])(inputs(random_cloud(5), features=True))
    wrong = (dict(groups=0), dict(radius=0), dict(features=["colour"]), dict(up="w"), dict(augment=dict(turn=1)))
    for options in wrong:
        with pytest.raises(ConfigError):
            adapter(**options)
