"""Using a model with a detection head: pictures and labels in, boxes in pixels of the originals out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omni.encoding import prepare_batches
from omni.errors import InputError, OmniError
from omni.inference import OmniPredictor
from omni.predicting import core_states, find_head, predict
from omni.types import Prediction
from omni_plugin_detection.frames import frame_of
from omni_plugin_detection.head import DetectionHead, Detections
from omni_plugin_detection.tiles import is_cut, make_tiles, merge
from omni_plugin_image.io import load


class Detector:
    """A model and a set of labels.

    Args:
        model: with a head of task detection.
        labels: slot -> values (texts, pictures, sounds: whatever the slot's modality reads), each one label, encoded by
            the model's own projections; None = things of any kind.
        names: what the labels are called in results; None = texts themselves, else "slot 0", "slot 1" ...
        head: its name, where the model has several.

    Raises:
        OmniError: the model has no detection head.
        InputError: no label at all, or as many names as there are not labels.
    """

    def __init__(
        self, model: OmniPredictor, labels: Mapping[str, Sequence[Any]] | None = None, *,
        names: Sequence[str] | None = None, head: str | None = None,
    ) -> None:  # fmt: skip
        self.model = model
        self.head_name = find_head(model.model, "detection", head)
        module = model.model.heads[self.head_name]
        if not isinstance(module, DetectionHead):
            raise OmniError(f"The head {self.head_name!r} is a {type(module).__name__}, not this plugin's.")
        self.head = module
        self.embeddings_KE: Tensor | None = None
        self.names: tuple[str, ...] = ()
        if labels is not None:
            self.embeddings_KE, self.names = embed_labels(model, labels)
        if names is not None:
            if len(names) != len(self.names):
                raise InputError(f"detection: {len(names)} names for {len(self.names)} labels.")
            self.names = tuple(names)

    def detect(
        self, pictures: Sequence[Any], *, score_threshold: float = 0.05, iou_threshold: float = 0.5, most: int = 100,
        batch_size: int = 32,
    ) -> list[Prediction]:  # fmt: skip
        """A Prediction of Detections for each picture, boxes x0, y0, x1, y1 in pixels of the original, within it.

        ``details``: ``labels`` (names by number), ``size`` (height, width).

        Args:
            pictures: whatever the picture plugin's loader reads.
            score_threshold, iou_threshold, most: of the head's ``predict``.

        Raises:
            InputError: a picture that cannot be read.
        """
        originals = [as_array(picture) for picture in pictures]
        made = predict(
            self.model, self.head_name, {self.head.slot: originals}, batch_size=batch_size, progress=False,
            label_embeddings_KE=self.embeddings_KE, score_threshold=score_threshold, iou_threshold=iou_threshold,
            most=most,
        ) if originals else []  # fmt: skip
        transform = self.model.processor.transforms[self.head.slot]
        found = []
        for item, original in zip(made, originals, strict=True):
            height, width = original.shape[:2]
            boxes_N4 = frame_of(transform, height, width).to_pixels(item.value.boxes_N4.float().cpu())
            boxes_N4[:, 0::2] = boxes_N4[:, 0::2].clamp(0, width)
            boxes_N4[:, 1::2] = boxes_N4[:, 1::2].clamp(0, height)
            value = Detections(
                boxes_N4=boxes_N4, scores_N=item.value.scores_N.cpu(), labels_N=item.value.labels_N.cpu()
            )
            found.append(self._prediction(value, (height, width)))
        return found

    def detect_tiled(
        self, picture: Any, *, tile: int, overlap: float = 0.25, whole: bool = True, score_threshold: float = 0.05,
        iou_threshold: float = 0.5, most: int = 300, batch_size: int = 32,
    ) -> Prediction:  # fmt: skip
        """One large picture by tiles of ``tile`` pixels, which overlap, and by the ``whole`` picture made small; a
        thing that a tile's border cuts is found once (see omni_plugin_detection.tiles).

        Raises:
            InputError: the picture cannot be read. ConfigError: tiles that cannot be.
        """
        original = as_array(picture)
        height, width = original.shape[:2]
        tiles = make_tiles(height, width, tile=tile, overlap=overlap)
        parts = [original[t.box[1] : t.box[3], t.box[0] : t.box[2]] for t in tiles]
        if whole and len(tiles) > 1:
            parts.append(original)
        found = self.detect(
            parts, score_threshold=score_threshold, iou_threshold=iou_threshold, most=most, batch_size=batch_size
        )
        boxes, cuts, numbers = [], [], []
        for number, item in enumerate(found):
            here = item.value.boxes_N4
            if number < len(tiles):
                left, top = tiles[number].box[:2]
                here = here + torch.tensor([left, top, left, top], dtype=here.dtype)
                cuts.append(is_cut(here, tiles[number]))
            else:
                cuts.append(torch.zeros(len(here), dtype=torch.bool))
            boxes.append(here)
            numbers.append(torch.full((len(here),), number))
        every = Detections(
            boxes_N4=torch.cat(boxes),
            scores_N=torch.cat([item.value.scores_N for item in found]),
            labels_N=torch.cat([item.value.labels_N for item in found]),
        )
        return self._prediction(merge(every, torch.cat(cuts), torch.cat(numbers), most=most), (height, width))

    @torch.inference_mode()
    def label_boxes(self, picture: Any, boxes_N4: Any, *, points: int = 3) -> Tensor:
        """(N, K) logits of the labels for given boxes (pixels of the original).

        Raises:
            InputError: there are no labels, or the picture cannot be read.
        """
        if self.embeddings_KE is None:
            raise InputError("label_boxes: this detector has no labels; give them when it is made.")
        original = as_array(picture)
        transform = self.model.processor.transforms[self.head.slot]
        frame = frame_of(transform, *original.shape[:2])
        boxes = frame.to_fractions(torch.as_tensor(np.asarray(boxes_N4), dtype=torch.float32)).to(self.model.device)
        batches = prepare_batches(
            self.model.processor, [{self.head.slot: original}], batch_size=1, device=self.model.device
        )
        states = core_states(self.model, next(iter(batches)), fused=self.head.fused)
        embeddings = self.embeddings_KE.to(self.model.device)
        return self.head.label_boxes(states, boxes[None], embeddings, points=points)[0].float().cpu()

    def _prediction(self, value: Detections, size: tuple[int, int]) -> Prediction:
        best = float(value.scores_N[0]) if len(value) else None
        return Prediction(value=value, score=best, details={"labels": self.names, "size": size})


def detect(
    model: OmniPredictor, pictures: Sequence[Any], labels: Mapping[str, Sequence[Any]] | None = None, **options: Any
) -> list[Prediction]:
    """``Detector(model, labels).detect(pictures, **options)``."""
    return Detector(model, labels).detect(pictures, **options)


def embed_labels(model: OmniPredictor, labels: Mapping[str, Sequence[Any]]) -> tuple[Tensor, tuple[str, ...]]:
    """(K, E) embeddings of labels, slot by slot, and what they are called.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    given = {slot: list(values) for slot, values in labels.items() if len(values)}
    if not given:
        raise InputError('detection: no labels; give for example labels={"text": ["a dog", "a cat"]}.')
    slots: dict[str, Any] = given
    encoded = model.encode(progress=False, **slots)
    names = [
        value if isinstance(value, str) else f"{slot} {number}"
        for slot, values in given.items() for number, value in enumerate(values)
    ]  # fmt: skip
    return torch.cat([encoded[slot] for slot in given]), tuple(names)


def as_array(picture: Any) -> np.ndarray:
    """(H, W, 3) uint8 of whatever the picture plugin's loader reads."""
    return np.asarray(load(picture, form="array").pixels_HWC)
