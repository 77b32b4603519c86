"""The renderer against analytic spheres and boxes, and its gradients against finite differences, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from omni.errors import ConfigError, InputError
from omni_plugin_three_d.render.cameras import Camera, Rays, look_at, orbit, pixel_rays, project
from omni_plugin_three_d.render.fields import GridField, box_distance, field_normals, sphere_distance
from omni_plugin_three_d.render.surface import first_hits
from omni_plugin_three_d.render.volume import cube_span, distance_density, render_volume

F64 = torch.float64
CENTER = torch.tensor((0.1, -0.05, 0.2), dtype=F64)
HALF = torch.tensor((0.5, 0.35, 0.25), dtype=F64)


def rays_of(azimuth: float = 30.0, elevation: float = 25.0, size: int = 40) -> Rays:
    return pixel_rays(orbit(azimuth, elevation, 3.0, size=(size, size + 4), dtype=F64))


def ray_sphere(rays: Rays, center: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Distance of the first hit, and whether there is one: the smaller root of |o + t d - c|^2 = r^2."""
    away = rays.origins_R3 - center
    b = (away * rays.directions_R3).sum(-1)
    under = b**2 - (away.square().sum(-1) - radius**2)
    return -b - under.clamp(min=0).sqrt(), under > 0


def ray_box(rays: Rays, center: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    sides = torch.stack(
        ((center - half - rays.origins_R3) / rays.directions_R3, (center + half - rays.origins_R3) / rays.directions_R3)
    )
    near, far = sides.amin(0).amax(-1), sides.amax(0).amin(-1)
    return near, far > near


def test_cameras_agree_with_projection() -> None:
    camera = orbit(50.0, -20.0, 2.5, size=(30, 44), field_of_view=50.0, dtype=F64)
    rays = pixel_rays(camera)
    assert torch.allclose(rays.directions_R3.norm(dim=-1), torch.ones(30, 44, dtype=F64))
    pixels, depth = project(camera, rays.at(torch.full((30, 44), 1.7, dtype=F64)).reshape(-1, 3))
    v, u = torch.meshgrid(torch.arange(30, dtype=F64) + 0.5, torch.arange(44, dtype=F64) + 0.5, indexing="ij")
    assert torch.allclose(pixels.reshape(30, 44, 2), torch.stack((u, v), 2)) and (depth > 0).all()
    turn = camera.rotation_33
    assert torch.allclose(turn.T @ turn, torch.eye(3, dtype=F64)) and torch.linalg.det(turn) == pytest.approx(1)
    middle, far = project(camera, torch.zeros(1, 3, dtype=F64))
    assert middle[0].tolist() == pytest.approx([22, 15]) and float(far) == pytest.approx(2.5)
    above, _ = project(camera, torch.tensor([[0, 0.5, 0]], dtype=F64))
    assert above[0, 1] < 15 and above[0, 0] == pytest.approx(22)  # up is up in the picture
    top = (15 - camera.intrinsics_33[1, 1] * math.tan(math.radians(25))).item()
    assert top == pytest.approx(0)  # the field of view is that of the height
    front = orbit(0, 0, 2, up="z", dtype=F64)
    assert front.position_3.tolist() == pytest.approx([0, -2, 0])
    right, _ = project(front, torch.tensor([[0.3, 0, 0.1]], dtype=F64))
    assert right[0, 0] > 64 and right[0, 1] < 64
    _, behind = project(front, torch.tensor([[0.0, -3, 0]], dtype=F64))
    assert behind < 0


def test_cameras_refuse() -> None:
    with pytest.raises(InputError, match="looks along"):
        look_at((0, 2, 0), (0, 0, 0), up=(0, 1, 0))
    with pytest.raises(ConfigError, match="field of view"):
        look_at((0, 0, 2), field_of_view=180)
    with pytest.raises(ConfigError, match="up='x'"):
        orbit(0, 0, 1, up="x")
    with pytest.raises(InputError, match="focal"):
        Camera(intrinsics_33=-torch.eye(3), rotation_33=torch.eye(3), position_3=torch.zeros(3), height=2, width=2)


def test_the_cube_is_where_rays_are_inside() -> None:
    near, far, valid = cube_span(rays_of(), bound=0.6)
    wanted, hit = ray_box(rays_of(), torch.zeros(3, dtype=F64), torch.full((3,), 0.6, dtype=F64))
    assert (valid == hit).all() and 0 < hit.sum() < hit.numel() and torch.allclose(near[hit], wanted[hit])
    assert (far[~valid] == 0).all()
    along = Rays(
        origins_R3=torch.tensor([[0.5, 0, 0], [3, 0, 0]]), directions_R3=torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    )
    near, far, valid = cube_span(along)
    assert near.tolist() == [0, 0] and far.tolist() == [0.5, 0] and valid.tolist() == [True, False]


@pytest.mark.parametrize("view", [(30.0, 25.0), (200.0, -40.0)])
def test_hits_are_the_analytic_ones(view: tuple[float, float]) -> None:
    rays = rays_of(*view)
    near, far, _ = cube_span(rays)
    for truth, field in (
        (ray_sphere(rays, CENTER, 0.5), lambda points: sphere_distance(points, CENTER, torch.tensor(0.5))),
        (ray_box(rays, CENTER, HALF), lambda points: box_distance(points, CENTER, HALF)),
    ):
        hits = first_hits(field, rays, near, far, steps=128, halvings=40)
        depth, valid = truth
        differ = hits.valid_R != valid
        assert differ.sum() <= 6 and (field(rays.at(depth)[differ]).abs() < 0.01).all()  # rays that graze
        both = hits.valid_R & valid
        assert both.sum() > 100 and (hits.depth_R - depth)[both].abs().max() < 1e-9
        assert (hits.depth_R[~hits.valid_R] == 0).all()


def test_soft_silhouettes_and_depths_tend_to_the_analytic_ones() -> None:
    rays = rays_of()
    near, far, _ = cube_span(rays)
    for truth, field in (
        (ray_sphere(rays, CENTER, 0.5), lambda points: sphere_distance(points, CENTER, torch.tensor(0.5))),
        (ray_box(rays, CENTER, HALF), lambda points: box_distance(points, CENTER, HALF)),
    ):
        errors = []
        for beta in (0.02, 0.005):
            seen = render_volume(lambda p, b=beta, f=field: distance_density(f(p), b), rays, near, far, samples=400)
            depth, valid = truth
            clear = valid & (seen.opacity_R > 0.99)
            errors.append(float((seen.depth_R - depth)[clear].abs().mean()))
        assert errors[1] < 0.01 and errors[1] < errors[0] / 2
        assert ((seen.opacity_R > 0.5) == valid).double().mean() > 0.98


def test_light_through_a_slab_follows_its_law() -> None:
    """Through density s and length l: opacity 1 - exp(-s l), mean depth 1 / s - l exp(-s l) / (1 - exp(-s l))."""
    rays = Rays(origins_R3=torch.zeros(1, 3, dtype=F64), directions_R3=torch.tensor([[0.0, 0, 1]], dtype=F64))
    near, far = torch.zeros(1, dtype=F64), torch.full((1,), 2.0, dtype=F64)
    for density in (0.3, 4.0):
        seen = render_volume(
            lambda p, s=density: torch.full_like(p[..., 0], s), rays, near, far, samples=2000,
            color=lambda p: torch.stack((p[..., 2], torch.ones_like(p[..., 2])), -1),
        )  # fmt: skip
        gone = math.exp(-2 * density)
        assert float(seen.opacity_R) == pytest.approx(1 - gone, rel=1e-9)
        assert float(seen.depth_R) == pytest.approx(1 / density - 2 * gone / (1 - gone), rel=1e-5)
        assert seen.color_RC[0].tolist() == pytest.approx([float(seen.depth_R * seen.opacity_R), 1 - gone])
    generator = torch.Generator().manual_seed(0)
    noisy = render_volume(lambda p: p[..., 2], rays, near, far, samples=500, generator=generator)
    assert float(noisy.opacity_R) == pytest.approx(1 - math.exp(-2), rel=1e-3)
    nothing = render_volume(lambda p: p[..., 2] + 1, rays, far, near)
    assert (float(nothing.opacity_R), float(nothing.depth_R)) == (0, 0)
    with pytest.raises(ConfigError, match="samples=0"):
        render_volume(lambda p: p[..., 2], rays, near, far, samples=0)


def test_density_is_the_laplace_distribution() -> None:
    distance = torch.linspace(-0.5, 0.5, 41, dtype=F64)
    from scipy.stats import laplace

    assert np.allclose(distance_density(distance, 0.1).numpy(), laplace.cdf(-distance.numpy(), scale=0.1) / 0.1)
    with pytest.raises(ConfigError, match="beta"):
        distance_density(distance, 0.0)


def test_gradients_against_finite_differences() -> None:
    rays = rays_of(size=8)
    near, far, _ = cube_span(rays)

    def picture(center: Tensor, radius: Tensor, beta: Tensor) -> Tensor:
        seen = render_volume(
            lambda p: distance_density(sphere_distance(p, center, radius), beta), rays, near, far, samples=24
        )
        return torch.stack((seen.opacity_R, seen.depth_R))

    inputs = [CENTER.clone(), torch.tensor(0.5, dtype=F64), torch.tensor(0.08, dtype=F64)]
    assert torch.autograd.gradcheck(picture, [value.requires_grad_() for value in inputs], atol=1e-6)

    solid = Rays(origins_R3=rays.origins_R3[2:6, 4:8], directions_R3=rays.directions_R3[2:6, 4:8])

    def depth(center: Tensor, half: Tensor, origins: Tensor) -> Tensor:
        moved = Rays(origins_R3=origins, directions_R3=solid.directions_R3)
        hits = first_hits(
            lambda p: box_distance(p, center, half), moved, near[2:6, 4:8], far[2:6, 4:8], steps=64, halvings=50
        )
        return hits.depth_R

    inputs = [CENTER.clone(), HALF.clone(), solid.origins_R3.clone()]
    assert (depth(*inputs) > 0).sum() > 6
    assert torch.autograd.gradcheck(depth, [value.requires_grad_() for value in inputs], atol=1e-6)


def test_hits_that_cannot_move_have_no_gradient() -> None:
    radius = torch.tensor(0.5, dtype=F64, requires_grad=True)
    start = torch.tensor([[0.0, 0, 0], [0, 2, 2]], dtype=F64)  # one begins inside, one passes by
    rays = Rays(origins_R3=start, directions_R3=torch.tensor([[0.0, 0, 1], [0, 0, 1]], dtype=F64))
    near, far = torch.zeros(2, dtype=F64), torch.full((2,), 3.0, dtype=F64)
    hits = first_hits(lambda p: sphere_distance(p, torch.zeros(3, dtype=F64), radius), rays, near, far)
    assert hits.depth_R.tolist() == [0, 0] and hits.valid_R.tolist() == [True, False]
    (slope,) = torch.autograd.grad(hits.depth_R.sum(), radius)
    assert float(slope) == 0
    with pytest.raises(ConfigError, match="steps=0"):
        first_hits(lambda p: p[..., 0], rays, near, far, steps=0)


def descend(truth: Tensor, rays: Rays, beta: float, values: list[Tensor], steps: int) -> None:
    """Gradient descent on the soft silhouette of a sphere alone."""
    near, far, _ = cube_span(rays)
    optimiser = torch.optim.Adam([value for value in values if value.requires_grad], lr=0.04)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        seen = render_volume(lambda p: distance_density(sphere_distance(p, *values), beta), rays, near, far, samples=40)
        optimiser.zero_grad()
        (seen.opacity_R - truth).square().mean().backward()
        optimiser.step()
        schedule.step()


def test_a_radius_is_found_from_a_silhouette() -> None:
    """From half the size, with the analytic outline as the truth: within the softness of the picture."""
    rays = rays_of(size=20)
    truth = ray_sphere(rays, CENTER, 0.6)[1].double()
    radius = torch.tensor(0.3, dtype=F64, requires_grad=True)
    descend(truth, rays, 0.006, [CENTER, radius], 40)
    assert float(radius.detach()) == pytest.approx(0.6, abs=0.02)


def test_a_sphere_is_found_from_its_soft_silhouette() -> None:
    """Radius and place beside one another, where the truth is as soft as the picture: exactly."""
    rays = rays_of(size=16)
    near, far, _ = cube_span(rays)
    wanted = [CENTER, torch.tensor(0.6, dtype=F64)]
    density = lambda p: distance_density(sphere_distance(p, *wanted), 0.05)  # noqa: E731
    truth = render_volume(density, rays, near, far, samples=40).opacity_R
    found = [torch.zeros(3, dtype=F64, requires_grad=True), torch.tensor(0.35, dtype=F64, requires_grad=True)]
    descend(truth, rays, 0.05, found, 100)
    eye = rays.origins_R3[0, 0]  # an outline hardly tells near and small from far and large
    seen, true = (float(r.detach() / (c.detach() - eye).norm()) for c, r in (found[::1], wanted))
    assert seen == pytest.approx(true, rel=2e-3)
    assert float((found[0].detach() - CENTER).norm()) < 0.05


def test_grid_fields() -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(6, 6, 6, generator=generator, dtype=F64)
    points = torch.rand(200, 3, generator=generator, dtype=F64) * 2.4 - 1.2
    places = ((points.numpy() + 1) * 2.5).T
    wanted = map_coordinates(values.numpy(), places, order=1, mode="nearest")
    with torch.no_grad():
        assert np.allclose(GridField(values)(points).numpy(), wanted)
    leaf = values.clone().requires_grad_()
    assert np.allclose(GridField(leaf)(points).detach().numpy(), wanted)
    half = GridField(values, bound=0.5)
    assert torch.allclose(half(points / 2), GridField(values)(points))
    inner = (points[:4] * 0.7).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, p: GridField(v)(p), (leaf, inner))
    assert torch.autograd.gradgradcheck(lambda p: GridField(values)(p).square(), (inner,))
    with pytest.raises(InputError, match="R, R, R"):
        GridField(torch.zeros(3, 4, 5))


def test_normals_point_outwards() -> None:
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(50, 3, generator=generator, dtype=F64)
    normals = field_normals(lambda p: sphere_distance(p, CENTER, torch.tensor(0.5)), points)
    assert torch.allclose(normals, torch.nn.functional.normalize(points - CENTER, dim=1), atol=1e-5)
    beyond = CENTER + HALF * torch.tensor([3.0, 0.1, -0.2], dtype=F64)
    assert torch.allclose(
        field_normals(lambda p: box_distance(p, CENTER, HALF), beyond), torch.tensor([1.0, 0, 0], dtype=F64)
    )
    outside = box_distance(CENTER + HALF + torch.tensor([0.3, 0.4, 0.0], dtype=F64), CENTER, HALF)
    assert float(outside) == pytest.approx(0.5) and float(box_distance(CENTER, CENTER, HALF)) == pytest.approx(-0.25)
