"""A model of the tests' modalities, with every kind of trained group."""

from __future__ import annotations

import pytest

GROUPS = (("multilinear", "left", "right", "word"), ("cosine", "left", "word"))


@pytest.fixture
def predictor(toy_plugin):
    from toy_models import toy_predictor

    return toy_predictor(*GROUPS, norm="layernorm")
