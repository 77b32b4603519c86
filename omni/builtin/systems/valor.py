"""VALOR's grouping alignment on a latent vector in halves (Chen et al. 2023, fine form).

z in R^{2k}. A video is four noisy looks at the first half, a sound three noisy looks at the second, a text six noisy
looks at all of it, each through a fixed random map of its own. Encoders are one hidden layer a modality, weights of
tokens come from the published MLP. Two models see equally many steps: one trained on the groups tva, tv and ta, one on
tva alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.objectives.functional import grouping_alignment, grouping_scores
from omni.systems.experiment import Experiment, Finding, Log

GROUPS = {"tva": ("video", "sound"), "tv": ("video",), "ta": ("sound",)}
TOKENS = {"text": 6, "video": 4, "sound": 3}
MARGIN = 0.05


class ValorGroups(Experiment):
    """Groups tva, tv, ta against tva alone."""

    claim = (
        "Text finds video with sound better than either alone; training on all groups keeps it working without sound."
    )
    rule = (
        f"On every seed: R@1 of tva above the better of tv and ta by {MARGIN}; without sound, the model of all groups "
        f"beats the model of tva alone by {MARGIN}."
    )
    depends_on = ("omni.objectives.functional.grouping",)

    def config(self, *, full: bool) -> dict[str, Any]:
        return {
            "half": 16, "features": 32, "noise": 0.5, "embedding": 32, "hidden": 128, "batch": 128,
            "steps": 900 if full else 300, "lr": 3e-3, "temperature": 0.07, "test": 500,
        }  # fmt: skip

    def measure(self, seed: int, config: Mapping[str, Any], log: Log) -> dict[str, float]:
        measured = {}
        for name, groups in (("all groups", ("tva", "tv", "ta")), ("tva only", ("tva",))):
            model, world = train(groups, seed, config)
            found = {group: recall_at_1(model, world, group, config) for group in GROUPS}
            measured |= {f"{name}: {group} R@1": value for group, value in found.items()}
            log(f"seed {seed}: trained on {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
        return measured

    def judge(self, measured: Mapping[str, float], config: Mapping[str, Any]) -> Sequence[Finding]:
        both = measured["all groups: tva R@1"]
        single = max(measured["all groups: tv R@1"], measured["all groups: ta R@1"])
        kept, lost = measured["all groups: tv R@1"], measured["tva only: tv R@1"]
        return [
            Finding(name="tva above the better of tv and ta", value=both, bound=single, holds=both >= single + MARGIN),
            Finding(
                name="without sound, all groups above tva only", value=kept, bound=lost, holds=kept >= lost + MARGIN
            ),
        ]


class World:
    """Draws aligned tokens; the maps are fixed by the seed.

    Args:
        seed: of maps and draws.
        config: of the experiment.
    """

    def __init__(self, seed: int, config: Mapping[str, Any]) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.half, self.noise = config["half"], config["noise"]
        widths = {"text": 2 * self.half, "video": self.half, "sound": self.half}
        self.maps = {
            name: torch.randn(TOKENS[name], width, config["features"], generator=self.generator) / width**0.5
            for name, width in widths.items()
        }

    def draw(self, count: int) -> dict[str, Tensor]:
        """modality -> (count, tokens, features)."""
        latent = torch.randn(count, 2 * self.half, generator=self.generator)
        seen = {"text": latent, "video": latent[:, : self.half], "sound": latent[:, self.half :]}
        clean = {name: torch.einsum("bd,tdf->btf", value, self.maps[name]) for name, value in seen.items()}
        return {
            name: value + self.noise * torch.randn(value.shape, generator=self.generator)
            for name, value in clean.items()
        }


class TokenTower(nn.Module):
    """Tokens of one modality -> unit vectors and the logits of their weights (MLP on the normalised vectors)."""

    def __init__(self, *, tokens: int, features: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(tokens, hidden) * 0.02)
        self.enter = nn.Linear(features, hidden)
        self.leave = nn.Linear(hidden, embedding, bias=False)
        self.weight = nn.Sequential(nn.Linear(embedding, embedding), nn.ReLU(), nn.Linear(embedding, 1))

    def forward(self, values_BLC: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, E) unit vectors and (B, L) logits."""
        unit = F.normalize(self.leave(F.gelu(self.enter(values_BLC) * (1 + self.position))), dim=-1)
        return unit, self.weight(unit).squeeze(-1)


def train(groups: Sequence[str], seed: int, config: Mapping[str, Any]) -> tuple[nn.ModuleDict, World]:
    """A model trained on the mean of the groups' losses."""
    torch.manual_seed(seed)
    world = World(seed, config)
    sizes = {key: config[key] for key in ("features", "hidden", "embedding")}
    model = nn.ModuleDict({name: TokenTower(tokens=count, **sizes) for name, count in TOKENS.items()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config["lr"], total_steps=config["steps"])
    for _ in range(config["steps"]):
        encoded = {name: model[name](value) for name, value in world.draw(config["batch"]).items()}
        losses = [group_loss(encoded, group, 1 / config["temperature"]) for group in groups]
        optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).mean().backward()
        optimizer.step()
        schedule.step()
    return model, world


def joined(encoded: Mapping[str, tuple[Tensor, Tensor]], group: str) -> tuple[Tensor, Tensor]:
    """The group's tokens and weight logits, concatenated along the tokens."""
    parts = [encoded[name] for name in GROUPS[group]]
    return torch.cat([part[0] for part in parts], 1), torch.cat([part[1] for part in parts], 1)


def group_loss(encoded: Mapping[str, tuple[Tensor, Tensor]], group: str, logit_scale: float) -> Tensor:
    """Symmetric contrast of text with one group."""
    text, text_logits = encoded["text"]
    tokens, logits = joined(encoded, group)
    return grouping_alignment(text, tokens, text_logits, logits, None, None, logit_scale)


@torch.no_grad()
def recall_at_1(model: nn.ModuleDict, world: World, group: str, config: Mapping[str, Any]) -> float:
    """How often a text's best item among all test items is its own."""
    encoded = {name: model[name](value) for name, value in world.draw(config["test"]).items()}
    text, text_logits = encoded["text"]
    tokens, logits = joined(encoded, group)
    best = grouping_scores(text, tokens, text_logits, logits).argmax(1)
    return (best == torch.arange(len(best))).float().mean().item()
