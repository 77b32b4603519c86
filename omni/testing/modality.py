"""Contract checks of a modality: sample -> transform -> collate -> adapter -> core, at a tiny size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omni.plugin.catalog import get_catalog
from omni.plugin.specs import ModalitySpec
from omni.testing.transform import VARIANTS, samples, tensors_of

if TYPE_CHECKING:
    from torch import Tensor

    from omni.core.model import OmniModel
    from omni.data.transform import Transform

SLOT = "slot"
WIDTH, LAYERS, HEADS, FFN, EMBEDDING = 32, 2, 4, 64, 16


@dataclass(kw_only=True)
class Case:
    """What the checks work on: a tiny model with random parameters, the default transform, and the three items."""

    model: OmniModel
    transform: Transform
    items: list[dict[str, Tensor]]

    def batch(self, *rows: int) -> dict[str, Tensor]:
        """Adapter inputs of the given items (0 typical, 1 other, 2 minimum)."""
        return self.transform.collate([self.items[row] for row in rows])

    def pooled(self, inputs: dict[str, Tensor]) -> Tensor:
        """Summary states (S, D) after the core."""
        return self.model.encode_slot(SLOT, inputs).pooled[SLOT]


def tiny_model(spec: ModalitySpec, *, seed: int = 0, parity: str = "default") -> OmniModel:
    """A model of one slot. Every parameter is moved off its initial value: zeros and tiny layer scales hide faults.

    Args:
        spec: the modality.
        seed: of the parameters.
        parity: as in ModelConfig.
    """
    import torch

    from omni.core.model import ModelConfig, OmniModel

    config = ModelConfig(
        width=WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        ffn_width=FFN,
        slots={SLOT: spec.name},
        adapters={},
        embedding_width=EMBEDDING,
        layer_scale=None,
        parity=parity,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = OmniModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def make_case(spec: ModalitySpec) -> Case:
    """The tiny model with the modality's default transform and its samples."""
    transform = get_catalog().component("transform", spec.transform)()
    return Case(model=tiny_model(spec), transform=transform, items=tensors_of(transform, spec))


def default_transform_exists(spec: ModalitySpec) -> None:
    """The transform that the spec names is installed and is one of this modality."""
    entry = get_catalog().get("transform", spec.transform)
    assert entry.spec.modality == spec.name, f"{spec.transform!r} is a transform of {entry.spec.modality!r}"


def samples_follow_the_protocol(spec: ModalitySpec) -> None:
    """``sample()`` is ``sample("typical")``, every variant is deterministic, another word is an error."""
    function = get_catalog().resolve(spec.sample)
    transform = get_catalog().component("transform", spec.transform)()
    first, second = tensors_of(transform, spec), tensors_of(transform, spec)
    _assert_same(transform(function()), first[0], "sample() is not sample('typical')")
    for variant, one, other in zip(VARIANTS, first, second, strict=True):
        _assert_same(one, other, f"sample({variant!r}) differs between two calls")
    assert not _same(first[0], first[1]), "sample('other') is the same as sample('typical')"
    try:
        function("no such variant")
    except ValueError:
        return
    raise AssertionError("sample('no such variant') must raise a ValueError")


def loader_takes_its_own_values(spec: ModalitySpec) -> None:
    """The loader lets an in-memory value through: what it gave can be given to it."""
    loader = get_catalog().resolve(spec.loader)
    transform = get_catalog().component("transform", spec.transform)()
    for variant, raw in samples(spec).items():
        _assert_same(transform(loader(raw)), transform(raw), f"{variant}: the loader changes an in-memory value")


def one_item(spec: ModalitySpec) -> None:
    """One item gives sound tokens and one embedding."""
    _check_tokens(make_case(spec), (0,), spec)


def minimum_length(spec: ModalitySpec) -> None:
    """The smallest item gives sound tokens."""
    _check_tokens(make_case(spec), (2,), spec)


def ragged_batch(spec: ModalitySpec) -> None:
    """Items of different sizes in one batch give sound tokens."""
    _check_tokens(make_case(spec), (0, 1, 2), spec)


def _check_tokens(case: Case, rows: tuple[int, ...], spec: ModalitySpec) -> None:
    import torch

    inputs = case.batch(*rows)
    with torch.no_grad():
        tokens = case.model.tokenize(SLOT, inputs)
        embedding = case.model.encode(SLOT, inputs)
    count, length = tokens.valid_BL.shape
    assert count == len(rows), f"{count} rows of tokens for {len(rows)} items"
    assert tokens.tokens_BLD.shape == (count, length, WIDTH), f"tokens are {tuple(tokens.tokens_BLD.shape)}"
    assert tokens.valid_BL.dtype is torch.bool and bool(tokens.valid_BL.any(1).all()), "a row without a valid token"
    assert tokens.modality == spec.name, f"the tokens say modality {tokens.modality!r}"
    if tokens.positions_BLP is not None:
        rows_and_length = tuple(tokens.positions_BLP.shape[:2])
        assert rows_and_length in ((count, length), (1, length)), f"positions are {rows_and_length}"
    assert len(tokens.bias) in (0, 1, LAYERS), f"{len(tokens.bias)} biases for {LAYERS} layers"
    for bias in tokens.bias:
        expected = [(batch, HEADS, length, length) for batch in (1, count)]
        assert tuple(bias.shape) in expected, f"the bias is {tuple(bias.shape)}, not one of {expected}"
    if tokens.summary_index is not None:
        assert bool(tokens.valid_BL[:, tokens.summary_index].all()), "the summary token is not valid in every row"
    assert embedding.shape == (count, EMBEDDING), f"embeddings are {tuple(embedding.shape)}"
    assert bool(torch.isfinite(embedding).all()), "an embedding is not finite"


def padding_changes_nothing(spec: ModalitySpec) -> None:
    """Each row of a ragged batch equals its row alone, and what stands in the padding does not matter."""
    import torch

    case = make_case(spec)
    with torch.no_grad():
        inputs = case.batch(0, 1, 2)
        together = case.pooled(inputs)
        for row, variant in enumerate(VARIANTS):
            alone = case.pooled(case.batch(row))[0]
            _assert_close(together[row], alone, f"{variant}: the result depends on what else is in the batch")
        filled = case.pooled(_fill_padding(inputs))
        _assert_close(filled, together, "the result depends on the contents of the padding")
        padded = _pad_tokens(case.model.tokenize(SLOT, inputs), extra=3)
        more = case.model.core({SLOT: padded}).pooled[SLOT]
        _assert_close(more, together, "the result depends on the number of padded tokens")


def _fill_padding(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Other values (real ones, reversed) wherever a mask over the leading dimensions says that nothing is there."""
    filled = dict(inputs)
    for name, mask in inputs.items():
        if not name.startswith("valid_"):
            continue
        for key, value in inputs.items():
            if key != name and value.shape[: mask.dim()] == mask.shape:
                filled[key] = filled[key].clone()
                filled[key][~mask] = value.flip(0).flip(1)[~mask] + (value.is_floating_point() * 3)
    return filled


def _pad_tokens(sequence: Any, *, extra: int) -> Any:
    from dataclasses import replace

    import torch
    from torch.nn import functional

    garbage = torch.randn(len(sequence.tokens_BLD), extra, WIDTH, generator=torch.Generator().manual_seed(1))
    positions = sequence.positions_BLP
    return replace(
        sequence,
        tokens_BLD=torch.cat([sequence.tokens_BLD, garbage], 1),
        valid_BL=functional.pad(sequence.valid_BL, (0, extra), value=False),
        positions_BLP=None if positions is None else functional.pad(positions, (0, 0, 0, extra)),
        bias=tuple(functional.pad(bias, (0, extra, 0, extra), value=1.0) for bias in sequence.bias),
    )


def works_in_bfloat16(spec: ModalitySpec) -> None:
    """A bfloat16 model, and float32 under autocast, give finite results near those of float32."""
    import torch

    case = make_case(spec)
    inputs = case.batch(0, 1, 2)
    with torch.no_grad():
        exact = case.pooled(inputs)
        with torch.autocast("cpu", torch.bfloat16):
            automatic = case.pooled(inputs)
        case.model.to(torch.bfloat16)
        half = case.pooled({key: v.bfloat16() if v.is_floating_point() else v for key, v in inputs.items()})
    for name, value in (("autocast", automatic), ("model.bfloat16()", half)):
        assert bool(torch.isfinite(value).all()), f"{name}: not finite"
        likeness = torch.cosine_similarity(value.float(), exact, dim=1).min().item()
        assert likeness > 0.98, f"{name}: cosine to the float32 result is only {likeness:.3f}"


def state_dict_round_trip(spec: ModalitySpec) -> None:
    """A model built anew from the JSON config and loaded with the state dict gives the same numbers."""
    import json

    import torch

    from omni.core.model import ModelConfig, OmniModel

    case = make_case(spec)
    config = ModelConfig.from_dict(json.loads(json.dumps(case.model.config.to_dict())))
    again = OmniModel(config).eval()
    again.load_state_dict(case.model.state_dict())
    inputs = case.batch(0, 1, 2)
    with torch.no_grad():
        difference = (again.encode(SLOT, inputs) - case.model.encode(SLOT, inputs)).abs().max().item()
    assert difference == 0.0, f"the reloaded model differs by {difference}: something is not in the state dict"


def gradients_reach_every_parameter(spec: ModalitySpec) -> None:
    """One backward pass over a ragged batch gives every parameter of the adapter a gradient that is not zero."""
    import torch

    case = make_case(spec)
    case.model.train()
    output = case.model.encode_slot(SLOT, case.batch(0, 1, 2))
    weights = torch.randn(output.hidden_BLD.shape, generator=torch.Generator().manual_seed(2))
    (output.hidden_BLD * weights * output.valid_BL[..., None]).sum().backward()
    adapter = case.model.adapters[spec.name]
    idle = [name for name, p in adapter.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not idle, f"no gradient reaches {', '.join(idle)}; use the parameter or do not make it"


def evaluation_is_deterministic(spec: ModalitySpec) -> None:
    """Two passes in eval mode give the same bits, whatever the random generator's state."""
    import torch

    case = make_case(spec)
    inputs = case.batch(0, 1, 2)
    copies = {key: value.clone() for key, value in inputs.items()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        first = case.pooled(inputs)
        second = case.pooled(inputs)
    assert torch.equal(first, second), "two evaluations differ; is dropout on in eval mode?"
    _assert_same(inputs, copies, "the adapter changes its inputs in place")


def kept_tokens_alone(spec: ModalitySpec) -> None:
    """``keep_BL`` leaves exactly the kept valid tokens."""
    import torch

    case = make_case(spec)
    inputs = case.batch(0, 1, 2)
    with torch.no_grad():
        whole = case.model.tokenize(SLOT, inputs)
        keep = torch.arange(whole.valid_BL.shape[1])[None].expand_as(whole.valid_BL) % 2 == 0
        part = case.model.tokenize(SLOT, inputs, keep_BL=keep)
        everything = case.model.tokenize(SLOT, inputs, keep_BL=torch.ones_like(keep))
    counts, expected = part.valid_BL.sum(1), (keep & whole.valid_BL).sum(1)
    assert torch.equal(counts, expected), f"kept {counts.tolist()} tokens a row, asked for {expected.tolist()}"
    real, kept = whole.tokens_BLD[whole.valid_BL], everything.tokens_BLD[everything.valid_BL]
    assert real.shape == kept.shape, "keeping all tokens drops some"
    _assert_close(kept, real, "keeping all tokens changes them")


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    import torch

    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def _assert_same(first: dict[str, Tensor], second: dict[str, Tensor], message: str) -> None:
    assert _same(first, second), message


def _assert_close(value: Tensor, reference: Tensor, message: str) -> None:
    import torch

    difference = (value - reference).abs().max().item()
    bound = 1e-5 * max(1.0, reference.abs().max().item())
    assert torch.isfinite(value).all() and difference <= bound, f"{message} (differs by {difference:.2e} > {bound:.0e})"


CHECKS = (
    default_transform_exists,
    samples_follow_the_protocol,
    loader_takes_its_own_values,
    one_item,
    minimum_length,
    ragged_batch,
    padding_changes_nothing,
    works_in_bfloat16,
    state_dict_round_trip,
    gradients_reach_every_parameter,
    evaluation_is_deterministic,
    kept_tokens_alone,
)
