"""An answer of a closed list, from the question and whichever other slots are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from omni.errors import ConfigError, InputError
from omni.heads.classification import ClassificationHead
from omni.types import CoreOutput, Prediction
from omni_plugin_vqa.calibration import Abstention, fit_temperature, threshold_for


class AnswerChoice(ClassificationHead):
    """Classification over answers, with a temperature for their chances and a threshold below which it abstains.

    Both are fitted on held-out questions by ``calibrate`` and saved with the weights. A fresh head has the temperature
    1 and never abstains.

    Args:
        answers: the closed list.
        question: the slot that holds the question.
        pool, num_heads, hidden, label_smoothing, dropout, fused: as of the classification head.
    """

    temperature: Tensor
    threshold: Tensor

    def __init__(
        self,
        *,
        width: int,
        answers: Sequence[str],
        question: str = "question",
        pool: str = "attention",
        num_heads: int = 4,
        hidden: int = 0,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        fused: bool = True,
    ) -> None:
        if isinstance(answers, (str, int)):
            raise ConfigError(f"answer_choice: answers must be a list of texts, not {answers!r}.")
        super().__init__(
            width=width, classes=answers, pool=pool, num_heads=num_heads, hidden=hidden,
            label_smoothing=label_smoothing, dropout=dropout, fused=fused,
        )  # fmt: skip
        self.question = question
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("threshold", torch.zeros(()))

    @torch.no_grad()
    def calibrate(self, logits_BK: Tensor, labels_B: Tensor, *, accuracy: float | None = None) -> Abstention | None:
        """Fit the temperature on held-out questions and, for a wanted ``accuracy`` of the answers given, the threshold.

        Args:
            logits_BK: of this head. labels_B: indices of the right answers.

        Raises:
            InputError: shapes that do not fit, or an accuracy that the surest answers do not reach.
        """
        self.temperature.fill_(fit_temperature(logits_BK, labels_B))
        chances_BK = (logits_BK.float() / self.temperature).softmax(1)
        found = None
        if accuracy is not None:
            best = chances_BK.max(1)
            found = threshold_for(best.values, best.indices == labels_B, accuracy=accuracy)
        self.threshold.fill_(0.0 if found is None else found.threshold)
        return found

    def predict(
        self,
        core_output: CoreOutput,
        *,
        k: int = 5,
        choices: Sequence[str] | None = None,
        abstain: bool = True,
        **others: Any,
    ) -> list[Prediction]:
        """The likeliest answer; None where its chance is below the threshold (the answer is then in the details).

        Args:
            k: how many answers to tell in ``details["scores"]``.
            choices: only these answers of the list are possible; chances are among them.
            abstain: False = always answer.

        Raises:
            InputError: a choice that is not in the list, or an option of another kind of head.
        """
        if others:
            raise InputError(f"answer_choice has no option {', '.join(others)}; its answers come from a closed list.")
        allowed = list(self.classes) if choices is None else list(choices)
        strangers = [answer for answer in allowed if answer not in self.classes]
        if strangers or not allowed:
            raise InputError(
                f"answer_choice: {', '.join(strangers) or 'nothing'} is not among {', '.join(self.classes)}."
            )
        index_K = torch.tensor([self.classes.index(answer) for answer in allowed])
        logits_BK = self(core_output).values["logits_BK"].detach().float()[:, index_K.to(core_output.hidden_BLD.device)]
        found = []
        for chances_K in (logits_BK / self.temperature).softmax(1).cpu():
            order = chances_K.argsort(descending=True, stable=True).tolist()
            ranked = {allowed[i]: float(chances_K[i]) for i in order[: max(k, 1)]}
            best, chance = allowed[order[0]], float(chances_K[order[0]])
            sure = not abstain or chance >= float(self.threshold)
            found.append(
                Prediction(value=best if sure else None, score=chance, details={"answer": best, "scores": ranked})
            )
        return found
