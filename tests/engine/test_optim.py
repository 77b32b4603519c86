"""Precision of training."""

from __future__ import annotations

import pytest
import torch

from omni.engine import optim
from omni.errors import ConfigError


def test_automatic_precision_is_bfloat16_where_the_device_has_it(monkeypatch):
    for fast, expected in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(optim, "fast_bfloat16", lambda device_type, fast=fast: fast)
        assert optim.autocast_dtype("auto", "cpu") is expected
        parameter = torch.nn.Parameter(torch.ones(2, 2))
        wrapper = optim.PrecisionOptimWrapper(torch.optim.SGD([parameter], lr=0.1), dtype="auto")
        with wrapper.optim_context(torch.nn.Identity()):
            assert (parameter @ parameter).dtype == (expected or torch.float32)
    with pytest.raises(ConfigError, match="'bf8'.*float32, bfloat16, float16, auto"):
        optim.autocast_dtype("bf8", "cpu")
