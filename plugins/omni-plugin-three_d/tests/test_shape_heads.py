"""The heads: padding changes nothing, gradients reach everything, tiny shapes are learnt, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni.core.model import ModelConfig, OmniModel
from omni.errors import ConfigError, InputError
from omni.types import CoreOutput
from omni_plugin_three_d.heads.point_set import PointSet
from omni_plugin_three_d.heads.shape_field import ShapeField
from omni_plugin_three_d.metrics import chamfer, volumetric_iou
from omni_plugin_three_d.render.cameras import orbit, pixel_rays
from omni_plugin_three_d.render.surface import first_hits
from omni_plugin_three_d.render.volume import cube_span, distance_density, render_volume
from omni_plugin_three_d.shape import shape_of_solid
from omni_plugin_three_d.solids import query_points, solid_of

SMALL = dict(hidden=16, depth=1, num_heads=2, channels=4, decoder_hidden=16, side=2, patch=2)
KINDS = [("triplane", "occupancy"), ("grid", "occupancy"), ("triplane", "distance"), ("grid", "distance")]


def core(batch: int = 3, length: int = 5, width: int = 12, *, seed: int = 0) -> CoreOutput:
    generator = torch.Generator().manual_seed(seed)
    valid = torch.ones(batch, length, dtype=torch.bool)
    valid[1, 3:] = False
    return CoreOutput(
        hidden_BLD=torch.randn(batch, length, width, generator=generator), valid_BL=valid, spans={}, pooled={}
    )


def targets(batch: int = 3, count: int = 40) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(batch, count, 3, generator=generator) * 2 - 1
    distance = points.norm(dim=2) - 0.6
    return {
        "points": points, "occupancy": (distance < 0).float(), "distance": distance,
        "surface": 0.6 * torch.nn.functional.normalize(points, dim=2),
    }  # fmt: skip


@pytest.mark.parametrize(("latent", "output"), KINDS)
def test_a_field_reads_valid_tokens_only_and_trains_everything(latent: str, output: str) -> None:
    torch.manual_seed(0)
    head = ShapeField(width=12, latent=latent, output=output, overlap=0.3, **SMALL)
    states = core()
    found = head(states, targets())
    assert found.values["field"].shape == (3, 40) and found.loss.dtype == torch.float32
    found.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())
    head.eval()
    longer = CoreOutput(
        hidden_BLD=torch.cat((states.hidden_BLD, torch.full((3, 4, 12), torch.nan)), 1),
        valid_BL=torch.cat((states.valid_BL, torch.zeros(3, 4, dtype=torch.bool)), 1), spans={}, pooled={},
    )  # fmt: skip
    longer.hidden_BLD[1, 3:5] = 1e4
    first, second = head.latents(states), head.latents(longer)
    assert torch.allclose(first, second, atol=1e-5) and second.isfinite().all()
    alone = CoreOutput(hidden_BLD=states.hidden_BLD[1:2, :3], valid_BL=states.valid_BL[1:2, :3], spans={}, pooled={})
    assert torch.allclose(head.latents(alone), first[1:2], atol=1e-5)
    state = head.state_dict()
    other = ShapeField(width=12, latent=latent, output=output, **SMALL)
    other.load_state_dict(state)
    assert torch.equal(other.eval().latents(states), first)


@pytest.mark.parametrize("latent", ["triplane", "grid"])
def test_axes_of_the_latent_are_those_of_the_points(latent: str) -> None:
    """A feature that is set at one end of one axis is read there, and nowhere else along that axis."""
    head = ShapeField(width=12, latent=latent, **SMALL)
    size, wanted = SMALL["side"] * SMALL["patch"], torch.eye(3) * 0.9
    for axis in range(3):
        if latent == "grid":
            values = torch.zeros(1, 4, size, size, size)
            values.select(2 + axis, size - 1).fill_(1.0)
        else:
            values = torch.zeros(1, 3, 4, size, size)
            for plane, (across, down) in enumerate(((1, 2), (0, 2), (0, 1))):
                if axis in (across, down):
                    values[:, plane].select(3 if axis == across else 2, size - 1).fill_(1.0)
        read = head.latent.read(values, wanted[None]).sum(2)[0]
        assert read[axis] > 0 and (read[[other for other in range(3) if other != axis]] == 0).all()


def test_a_field_is_learnt_and_its_mesh_is_right() -> None:
    """A ball or a bar, by the sign of a token."""
    import trimesh

    torch.manual_seed(0)
    meshes = [trimesh.creation.icosphere(3, 0.7), trimesh.creation.box((1.8, 0.5, 0.5))]
    solids = [solid_of(mesh.triangles, grid=32) for mesh in meshes]
    queries = [query_points(solid, 8192, seed=0, distance=False) for solid in solids]
    wanted = {
        "points": torch.from_numpy(np.stack([item.points_P3 for item in queries])),
        "occupancy": torch.from_numpy(np.stack([item.occupancy_P for item in queries])),
    }
    states = CoreOutput(
        hidden_BLD=torch.randn(2, 1, 12), valid_BL=torch.ones(2, 1, dtype=torch.bool), spans={}, pooled={}
    )  # fmt: skip
    sizes = SMALL | dict(hidden=32, side=4, channels=8, decoder_hidden=32)
    head = ShapeField(width=12, train_points=512, balance=0.0, **sizes)
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(200):
        loss = head(states, wanted).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    head.eval()
    found = head.predict(states, resolution=24)
    line = (np.arange(32) + 0.5) / 16 - 1
    places = np.stack(np.meshgrid(line, line, line, indexing="ij"), 3).reshape(-1, 3)
    for prediction, solid in zip(found, solids, strict=True):
        assert volumetric_iou(prediction.value.contains(places), solid.reshape(-1)) > 0.8
        assert chamfer(prediction.value.points(2000), shape_of_solid(solid).points(2000)).mean < 0.06
        assert prediction.details["has_surface"] and 0.5 < prediction.score <= 1
    thin, thick = head.predict(states, resolution=24, level=0.9)[0], head.predict(states, resolution=24, level=0.1)[0]
    assert thin.value.mesh().volume < found[0].value.mesh().volume < thick.value.mesh().volume


def test_a_field_can_be_drawn_and_gradients_reach_the_head() -> None:
    torch.manual_seed(0)
    rays = pixel_rays(orbit(20, 20, 3, size=(6, 6)))
    near, far, _ = cube_span(rays)
    for latent, output in KINDS:
        head = ShapeField(width=12, latent=latent, output=output, **SMALL)
        field = head.field(head.latents(core()), 1)
        seen = render_volume(lambda p, f=field: distance_density(f(p), 0.1), rays, near, far, samples=16)
        seen.opacity_R.mean().backward()
        assert head.reader.queries.grad.abs().sum() > 0
        head.zero_grad()
        first_hits(lambda p, f=field: f(p) - f(p).detach().mean(), rays, near, far, steps=16).depth_R.sum()


def test_points_are_learnt() -> None:
    torch.manual_seed(0)
    head = PointSet(width=12, queries=8, group=8, hidden=16, depth=1, num_heads=2)
    states, wanted = core(), targets(count=200)
    found = head(states, wanted)
    found.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(80):
        loss = head(states, wanted).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss) < 0.3 * float(found.loss)
    shape = head.eval().predict(states)[0].value
    assert shape.points_N3.shape == (64, 3) and np.abs(np.linalg.norm(shape.points_N3, axis=1) - 0.6).mean() < 0.1


def test_any_slots_and_mixtures_of_a_model() -> None:
    """Through the model's own config, with a slot that one sample lacks."""
    config = ModelConfig.from_dict(
        dict(
            width=12, num_layers=1, num_heads=2, ffn_width=16, embedding_width=8, slots=dict(a="tabular", b="tabular"),
            adapters=dict(tabular=dict(columns=2)),
            heads=dict(shape=dict(type="shape_field", **SMALL), points=dict(type="point_set", queries=4, group=2)),
        )
    )  # fmt: skip
    torch.manual_seed(0)
    model = OmniModel(config).eval()
    values = dict(
        values_BC=torch.randn(2, 2), percentiles_BC=torch.rand(2, 2), valid_BC=torch.ones(2, 2, dtype=torch.bool)
    )
    fused = model.fuse({"a": values, "b": {k: v[:1] for k, v in values.items()}}, present={
        "a": torch.tensor([True, True]), "b": torch.tensor([True, False])})  # fmt: skip
    alone = model.encode_slot("a", {k: v[1:] for k, v in values.items()})
    for head in model.heads.values():
        both, one = head(fused).values, head(alone).values
        for name, value in one.items():
            assert torch.allclose(both[name][1:], value, atol=1e-5) and not torch.allclose(both[name][:1], value)
        assert len(head.predict(fused)) == 2


def test_what_heads_refuse() -> None:
    for options in (
        dict(latent="cloud"), dict(output="colour"), dict(level=1.0), dict(balance=2.0), dict(up="x"),
        dict(hidden=10, num_heads=4), dict(side=0), dict(clamp=0.0), dict(train_points=0),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            ShapeField(width=12, **{**SMALL, **options})
    for options in (dict(queries=0), dict(group=0), dict(up="x"), dict(hidden=9, num_heads=2)):
        with pytest.raises(ConfigError):
            PointSet(width=12, **options)
    field, points = ShapeField(width=12, **SMALL), PointSet(width=12, queries=2, group=2)
    good = targets()
    for change, words in (
        ({"points": None}, "learns from the target 'points'"), ({"occupancy": None}, "'occupancy'"),
        ({"occupancy": good["occupancy"][:, :7]}, "one value a point"), ({"points": good["points"][..., :2]}, "shape"),
        ({"points": good["points"][:2]}, "shape"),
    ):  # fmt: skip
        given = {name: value for name, value in {**good, **change}.items() if value is not None}
        with pytest.raises(InputError, match=words):
            field(core(), given)
    with pytest.raises(InputError, match="learns from the target 'surface'"):
        points(core(), {"points": good["points"]})
    empty = core()
    empty.valid_BL[2] = False
    for head in (field, points):
        with pytest.raises(InputError, match="sample 2 has none"):
            head.predict(empty)
        with pytest.raises(ConfigError, match="colour"):
            head.predict(core(), colour="red")
    for options in (dict(resolution=2), dict(level=1.5)):
        with pytest.raises(ConfigError):
            field.predict(core(), **options)
