"""ONE-PEACE's emergent alignment with the real core (Wang et al. 2023, two-stage training).

Three toy modalities are noisy looks at one latent vector through fixed random maps. Stage one trains a with b. Stage
two adds modality c: its adapter, experts, last norm and projection train against a alone, everything else is frozen.
Then c must find b, which it never met, and every old output must be bit-identical.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.encoder import OmniCore
from omni.core.layers import LogitScale
from omni.objectives.functional import info_nce
from omni.systems.experiment import Experiment, Finding, Log
from omni.types import TokenSequence

MODALITIES = ("a", "b", "c")
TIMES_CHANCE = 10.0


class OnePeaceEmergence(Experiment):
    """A modality aligned to one side only, everything else frozen."""

    claim = "A new modality trained against one old one, with all else frozen, is aligned with the others too."
    rule = (
        f"On every seed: R@1 from c to b at least {TIMES_CHANCE:.0f} times chance; outputs of a and b bit-identical "
        "before and after stage two."
    )
    depends_on = ("omni.core.encoder", "omni.core.layers", "omni.objectives.functional.contrastive")

    def config(self, *, full: bool) -> dict[str, Any]:
        return {
            "latent": 16, "tokens": 4, "features": 24, "noise": 0.5, "width": 64, "layers": 2, "heads": 4,
            "steps": 800 if full else 250, "batch": 128, "lr": 2e-3, "test": 500,
        }  # fmt: skip

    def measure(self, seed: int, config: Mapping[str, Any], log: Log) -> dict[str, float]:
        torch.manual_seed(seed)
        world = World(seed, config)
        model = ToyModel(config)
        test = world.draw(config["test"])
        untrained = recall_at_1(model, test, "c", "b")
        fit(model, world, ("a", "b"), list(model.parameters()), config)
        before = {name: model.embed(name, test[name]).detach() for name in ("a", "b")}
        fit(model, world, ("c", "a"), model.parameters_of("c"), config)
        after = {name: model.embed(name, test[name]).detach() for name in ("a", "b")}
        same = all(torch.equal(before[name], after[name]) for name in before)
        measured = {
            "a to b R@1": recall_at_1(model, test, "a", "b"),
            "c to a R@1": recall_at_1(model, test, "c", "a"),
            "c to b R@1 (never trained together)": recall_at_1(model, test, "c", "b"),
            "c to b R@1 before training": untrained,
            "old outputs bit-identical": float(same),
        }
        log(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in measured.items()))
        return measured

    def judge(self, measured: Mapping[str, float], config: Mapping[str, Any]) -> Sequence[Finding]:
        found, bound = measured["c to b R@1 (never trained together)"], TIMES_CHANCE / config["test"]
        same = measured["old outputs bit-identical"]
        return [
            Finding(
                name=f"c finds b {TIMES_CHANCE:.0f} times above chance", value=found, bound=bound, holds=found >= bound
            ),
            Finding(name="old outputs bit-identical", value=same, bound=1.0, holds=same == 1.0),
        ]


class World:
    """Looks at one latent vector: modality -> (count, tokens, features); maps and draws are fixed by the seed."""

    def __init__(self, seed: int, config: Mapping[str, Any]) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.noise, self.latent = config["noise"], config["latent"]
        shape = (config["tokens"], self.latent, config["features"])
        self.maps = {name: torch.randn(shape, generator=self.generator) / self.latent**0.5 for name in MODALITIES}

    def draw(self, count: int) -> dict[str, Tensor]:
        """Aligned samples of all three."""
        latent = torch.randn(count, self.latent, generator=self.generator)
        clean = {name: torch.tanh(torch.einsum("bd,tdf->btf", latent, value)) for name, value in self.maps.items()}
        return {
            name: value + self.noise * torch.randn(value.shape, generator=self.generator)
            for name, value in clean.items()
        }


class ToyModel(nn.Module):
    """The core with a linear adapter, a class token and a projection a modality."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width = config["width"]
        self.core = OmniCore(
            width=width,
            num_layers=config["layers"],
            num_heads=config["heads"],
            ffn_width=2 * width,
            modalities=MODALITIES,
            layer_scale=0.1,
        )
        self.adapters = nn.ModuleDict({name: nn.Linear(config["features"], width) for name in MODALITIES})
        self.summaries = nn.ParameterDict({name: nn.Parameter(torch.randn(1, 1, width) * 0.02) for name in MODALITIES})
        self.positions = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(1, config["tokens"], width) * 0.02) for name in MODALITIES}
        )
        self.projections = nn.ModuleDict({name: nn.Linear(width, width) for name in MODALITIES})
        self.logit_scale = LogitScale()

    def embed(self, name: str, values_BLC: Tensor) -> Tensor:
        """(B, E) unit vectors of one modality."""
        tokens = self.adapters[name](values_BLC) + self.positions[name]
        tokens = torch.cat((self.summaries[name].expand(len(tokens), -1, -1), tokens), 1)
        valid = tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
        output = self.core({name: TokenSequence(tokens_BLD=tokens, valid_BL=valid, modality=name)})
        return F.normalize(self.projections[name](output.pooled[name]), dim=-1)

    def parameters_of(self, modality: str) -> list[nn.Parameter]:
        """What belongs to one modality alone."""
        return [value for key, value in self.named_parameters() if modality in key.split(".")]


def fit(
    model: ToyModel,
    world: World,
    pair: tuple[str, str],
    parameters: list[nn.Parameter],
    config: Mapping[str, Any],
) -> None:
    """Train ``parameters`` by InfoNCE over one pair."""
    optimizer = torch.optim.AdamW(parameters, lr=config["lr"], weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config["lr"], total_steps=config["steps"])
    for _ in range(config["steps"]):
        batch = world.draw(config["batch"])
        left, right = (model.embed(name, batch[name]) for name in pair)
        loss = info_nce(left, right, model.logit_scale())
        model.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def recall_at_1(model: ToyModel, test: Mapping[str, Tensor], query: str, target: str) -> float:
    """How often the nearest target is the query's own."""
    scores = model.embed(query, test[query]) @ model.embed(target, test[target]).T
    return (scores.argmax(1) == torch.arange(len(scores))).float().mean().item()
