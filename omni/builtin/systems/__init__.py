"""The three systems at the heart of omni: Symile, ONE-PEACE, VALOR, with their experiments. Imports no torch."""

from __future__ import annotations

from omni.plugin import PluginInfo, SystemSpec, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this built-in plugin is."""
    return PluginInfo(name="systems", summary="Symile, ONE-PEACE and VALOR with their experiments", maturity="research")


@hookimpl
def omni_systems() -> list[SystemSpec]:
    """The systems that the core itself carries."""
    return [
        SystemSpec(
            slug="symile",
            title="Contrasting with Symile: Model-Agnostic Representation Learning for Unlimited Modalities",
            year=2024,
            claim="Symile learns what only three modalities together determine; pairwise contrast stays at chance.",
            components=("objective:symile", "objective:pair_sum"),
            experiment="omni.builtin.systems.symile:SymileXor",
            data="synthetic",
            data_note="the paper's own XOR construction",
        ),
        SystemSpec(
            slug="one_peace",
            title="ONE-PEACE: Exploring One General Representation Model Toward Unlimited Modalities",
            year=2023,
            claim="A modality aligned to one side only, with everything else frozen, is found from the other side too, "
            "and the old outputs do not change.",
            components=("objective:info_nce", "objective:denoising"),
            experiment="omni.builtin.systems.one_peace:OnePeaceEmergence",
            data="synthetic",
            data_note="three toy modalities seen from one latent vector",
        ),
        SystemSpec(
            slug="valor",
            title="VALOR: Vision-Audio-Language Omni-Perception Pretraining Model and Dataset",
            year=2023,
            claim="Text is found better from vision and sound together than from either alone, and training on all "
            "groups keeps retrieval working when the sound is gone.",
            components=("objective:grouping_alignment",),
            experiment="omni.builtin.systems.valor:ValorGroups",
            data="synthetic",
            data_note="video and audio each see one half of a latent vector, text sees both",
        ),
    ]
