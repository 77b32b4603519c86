"""The caption head."""

from __future__ import annotations

from omni.heads.token_head import TokenHead


class CaptionHead(TokenHead):
    """A text about whichever slots are there; all of it is TokenHead's, see there for the settings.

    Grouped captioning (VALOR, Chen et al. 2023): train it by the objective ``task`` with ``groups``, so that one
    decoder tells of each group of slots by itself, and with ``training="masked"`` as published.
    """
