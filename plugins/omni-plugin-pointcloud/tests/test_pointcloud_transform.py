"""From a cloud to tensors: the unit sphere, the choice of points, what training changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shape_files import mesh_file

from omni.data.augment import build_augmentation
from omni.errors import ConfigError
from omni_plugin_pointcloud.augment import PointcloudAugment, rotation
from omni_plugin_pointcloud.cloud import checked_cloud
from omni_plugin_pointcloud.io import load, sample
from omni_plugin_pointcloud.transform import PointcloudBasic

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(500, 3)) * (3, 1, 2) + (10, 0, -5)
COLORS = RNG.uniform(size=(500, 3))
NORMALS = RNG.normal(size=(500, 3))
CLOUD = checked_cloud(POINTS, COLORS, NORMALS, name="test")


def test_the_unit_sphere() -> None:
    points = PointcloudBasic(points=500)(CLOUD)["points_N3"]
    assert points.norm(dim=1).max() == pytest.approx(1) and points.mean(0).abs().max() < 1e-6
    far = checked_cloud(POINTS * 40 + 1000, name="far")  # size and place do not matter
    assert torch.allclose(PointcloudBasic(points=500)(far)["points_N3"], points, atol=1e-5)
    as_it_is = PointcloudBasic(points=500, normalize="none")(CLOUD)["points_N3"]
    assert np.allclose(np.sort(as_it_is.numpy(), 0), np.sort(POINTS, 0), atol=1e-5)


def test_the_order_of_the_file_does_not_matter() -> None:
    transform = PointcloudBasic(points=64, features=["color", "normal"])
    first = transform(CLOUD)
    order = np.random.default_rng(1).permutation(500)
    again = transform(checked_cloud(POINTS[order], COLORS[order], NORMALS[order], name="shuffled"))
    assert first.keys() == {"points_N3", "features_NC"} and len(first["points_N3"]) == 64
    assert all(torch.equal(first[key], again[key]) for key in first)
    few = {tuple(row) for row in first["points_N3"].tolist()}
    assert few <= {tuple(row) for row in PointcloudBasic(points=500)(CLOUD)["points_N3"].tolist()} and len(few) == 64


def test_colours_and_normals_stay_with_their_points() -> None:
    found = PointcloudBasic(points=500, normalize="none", features=["normal", "color"])(CLOUD)
    where = {tuple(np.float32(row)): n for n, row in enumerate(POINTS)}
    order = [where[tuple(row)] for row in found["points_N3"].numpy()]
    assert np.allclose(found["features_NC"][:, 4:7], COLORS[order], atol=1e-6)
    assert np.allclose(found["features_NC"][:, :3], CLOUD.normals_N3[order])
    assert bool((found["features_NC"][:, [3, 7]] == 1).all())
    bare = PointcloudBasic(points=500, features=["color"])(checked_cloud(POINTS, name="bare"))
    assert not bare["features_NC"].any()  # not known is not black


def test_small_clouds_are_not_filled_up() -> None:
    transform = PointcloudBasic(points=100)
    batch = transform.collate([transform(sample("minimum")), transform(CLOUD)])
    assert batch["points_BN3"].shape == (2, 100, 3) and batch["valid_BN"].sum(1).tolist() == [2, 100]


def test_training_takes_other_points_each_time() -> None:
    transform = PointcloudBasic(points=64)
    torch.manual_seed(0)
    first, second = (transform(CLOUD, training=True)["points_N3"] for _ in range(2))
    assert not torch.equal(first, second) and len(first) == 64
    assert torch.equal(transform(CLOUD)["points_N3"], transform(CLOUD)["points_N3"])


def test_a_fixed_subset_can_be_made_into_tensors_once() -> None:
    fixed = PointcloudBasic(points=64, subset="fixed")
    assert fixed.deterministic and not PointcloudBasic(points=64).deterministic
    assert not PointcloudBasic(points=64, subset="fixed", augment=dict(jitter=0.1)).deterministic
    assert torch.equal(fixed(CLOUD, training=True)["points_N3"], fixed(CLOUD)["points_N3"])


def test_a_mesh_gives_more_points_than_are_used() -> None:
    transform = PointcloudBasic(points=2000, features=["normal"])
    options = transform.loader_options()
    assert options == {"mesh_points": 8000, "color": False, "normals": True}
    cloud = load(mesh_file("off"), **options)
    assert len(cloud) == 8000 and len(transform(cloud)["points_N3"]) == 2000


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_a_turn_keeps_what_points_up(up: str) -> None:
    axis = "xyz".index(up)
    turn = rotation(90, up=up)
    assert torch.allclose(turn @ torch.eye(3)[axis], torch.eye(3)[axis])
    assert torch.allclose(turn @ torch.eye(3)[(axis + 1) % 3], torch.eye(3)[(axis + 2) % 3], atol=1e-6)
    transform = PointcloudBasic(points=500, up=up, features=["normal"], augment=dict(rotate=180))
    torch.manual_seed(3)
    plain, turned = transform(CLOUD), transform(CLOUD, training=True)
    same, other = plain["points_N3"], turned["points_N3"]
    assert torch.allclose(other[:, axis], same[:, axis], atol=1e-6) and not torch.allclose(other, same, atol=0.1)
    assert torch.allclose(torch.cdist(other, other), torch.cdist(same, same), atol=1e-3)
    normals = plain["features_NC"][:, :3], turned["features_NC"][:, :3]
    solved = torch.linalg.lstsq(same, other).solution  # the same turn for points and normals
    assert torch.allclose(normals[0] @ solved, normals[1], atol=1e-4)


def test_scale_jitter_and_dropping() -> None:
    points = torch.from_numpy(CLOUD.points_N3)
    torch.manual_seed(1)
    scaled, _, stay = PointcloudAugment(scale=0.3)(points, None, up="z")
    ratio = scaled / points
    assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio), atol=1e-5) and 0.7 <= ratio[0, 0] <= 1.3 and stay.all()
    noise = PointcloudAugment(jitter=0.02)(points, None, up="z")[0] - points
    assert noise.abs().max() <= 0.06 + 1e-5 and noise.std() == pytest.approx(0.02, rel=0.1)
    kept = [int(PointcloudAugment(drop=0.9)(points, None, up="z")[2].sum()) for _ in range(50)]
    assert min(kept) < 200 < max(kept) and np.mean(kept) == pytest.approx(500 * 0.55, rel=0.25)
    alone = PointcloudBasic(points=2, augment=dict(drop=0.99))
    assert all(len(alone(CLOUD, training=True)["points_N3"]) in (1, 2) for _ in range(20))


def test_augmentations_by_name() -> None:
    transform = PointcloudBasic(points=500, up="y", features=["color", "normal"])
    plain = transform(CLOUD)

    def changed(kind: str, **settings: object) -> dict[str, torch.Tensor]:
        made = build_augmentation("shape", dict(type=kind, **settings), modality="pointcloud", transform=transform)
        torch.manual_seed(2)
        return made.tensors(plain)

    turned = changed("pointcloud_rotate")
    assert torch.allclose(turned["points_N3"][:, 1], plain["points_N3"][:, 1])
    solved = torch.linalg.lstsq(plain["points_N3"], turned["points_N3"]).solution
    assert torch.allclose(plain["features_NC"][:, 4:7] @ solved, turned["features_NC"][:, 4:7], atol=1e-4)
    assert torch.equal(turned["features_NC"][:, :4], plain["features_NC"][:, :4])
    few = changed("pointcloud_dropout", share=0.9)
    assert len(few["points_N3"]) == len(few["features_NC"]) < 500
    assert 0 < (changed("pointcloud_jitter")["points_N3"] - plain["points_N3"]).abs().max() <= 0.03 + 1e-6
    assert 0.5 < changed("pointcloud_scale", most=0.5)["points_N3"].norm(dim=1).max() < 1.5
    for kind, settings in (("pointcloud_rotate", dict(degrees=200)), ("pointcloud_dropout", dict(share=1.0)),
                           ("pointcloud_jitter", dict(deviation=-1)), ("pointcloud_scale", dict(most=2))):  # fmt: skip
        with pytest.raises(ConfigError, match=next(iter(settings)) + "|rotate|drop"):
            changed(kind, **settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(points=1), "points is 1"), (dict(normalize="cube"), "normalize"), (dict(up="w"), "up is one of x, y, z"),
        (dict(subset="all"), "subset is one of"),
        (dict(features=["colour"]), "features"), (dict(augment=dict(turn=1)), "Known are rotate"),
        (dict(augment=dict(rotate=200)), "rotate is 200"), (dict(augment=dict(drop=1)), "drop is 1"),
        (dict(augment=dict(jitter=-1)), "jitter is -1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PointcloudBasic(**options)
