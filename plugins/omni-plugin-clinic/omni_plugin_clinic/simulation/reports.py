"""Reports by template: what the radiograph shows, in one of several wordings."""

from __future__ import annotations

from collections.abc import Mapping

from omni.data.building.counter_rng import CounterRng
from omni_plugin_clinic.simulation.anatomy import FLUID_LEVELS

_HEART = (
    ("The heart is of normal size.", "Heart size within normal limits.", "Cardiac silhouette is not enlarged.",
     "Normal cardiothoracic ratio."),
    ("The heart is enlarged.", "Cardiomegaly.", "Enlarged cardiac silhouette.",
     "The cardiothoracic ratio is increased, with an enlarged heart."),
)  # fmt: skip
_NO_FLUID = (
    "No pleural effusion.", "The costophrenic angles are sharp.", "Pleural spaces are clear.",
    "There is no fluid in the pleural space.",
)  # fmt: skip
_FLUID = (
    "{size} {side} pleural effusion.", "There is a {size} pleural effusion, {side}.",
    "Blunted costophrenic angle in keeping with a {size} {side} effusion.", "{size} {side} pleural fluid.",
)  # fmt: skip
_SHADOW = (
    ("The lungs are clear.", "No focal opacity.", "No consolidation or nodule.", "Clear lungs."),
    ("Opacity in the right upper zone.", "Hazy consolidation of the right upper lobe.",
     "Right upper lung opacification."),
    ("Opacity in the left upper zone.", "Hazy consolidation of the left upper lobe.", "Left upper lung opacification."),
    ("Several nodules in the right mid zone.", "Multiple rounded lesions in the right mid lung.",
     "Right midzone nodules."),
    ("Several nodules in the left mid zone.", "Multiple rounded lesions in the left mid lung.",
     "Left midzone nodules."),
)  # fmt: skip
_OPENINGS = ("", "PA view of the chest. ", "Frontal chest radiograph. ", "Chest, PA. ")


def write_report(c: int, s: int, fluid: Mapping[str, float], rng: CounterRng) -> str:
    """A report of what is shown.

    Args:
        c: cardiomegaly. s: shadow, of latents.SHADOWS. fluid: side -> height, {} = none.
        rng: of the wording.
    """
    sentences = [_pick(_HEART[c], rng), _pick(_SHADOW[s], rng)]
    if fluid:
        side = "bilateral" if len(fluid) == 2 else f"{next(iter(fluid))}-sided"
        size = "small" if max(fluid.values()) < FLUID_LEVELS[1] else "moderate"
        sentence = _pick(_FLUID, rng).format(size=size, side=side)
        sentences.append(sentence[0].upper() + sentence[1:])
    else:
        sentences.append(_pick(_NO_FLUID, rng))
    return _pick(_OPENINGS, rng) + " ".join(rng.shuffled(sentences))


def _pick(wordings: tuple[str, ...], rng: CounterRng) -> str:
    return wordings[int(rng.integers(len(wordings), (1,))[0])]
