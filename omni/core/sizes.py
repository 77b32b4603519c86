"""Named sizes of the core. Heads are 32 to 64 wide, F = 4 D as in ONE-PEACE.

LayerScale starts at the published 1e-6 but for two layers: in a short trial (matching pairs of token sequences, AdamW
at 1e-3 with warm-up, one seed) 1e-6 learned fastest at micro and tiny, .1 at nano; 1 and none were slower.
"""

from __future__ import annotations

from typing import Any

from omni.errors import ConfigError
from omni.plugin.suggest import did_you_mean

SIZES: dict[str, dict[str, Any]] = {
    "nano": dict(width=64, num_layers=2, num_heads=2, ffn_width=256, layer_scale=0.1, drop_path=0.0),
    "micro": dict(width=128, num_layers=4, num_heads=4, ffn_width=512, layer_scale=1e-6, drop_path=0.0),
    "tiny": dict(width=192, num_layers=6, num_heads=6, ffn_width=768, layer_scale=1e-6, drop_path=0.0),
    "small": dict(width=384, num_layers=12, num_heads=6, ffn_width=1536, layer_scale=1e-6, drop_path=0.1),
    "base": dict(width=768, num_layers=12, num_heads=12, ffn_width=3072, layer_scale=1e-6, drop_path=0.1),
    "one_peace_4b": dict(width=1536, num_layers=40, num_heads=24, ffn_width=6144, layer_scale=1e-6, drop_path=0.4),
}


def size(name: str) -> dict[str, Any]:
    """Keyword arguments of ModelConfig for a named size.

    Raises:
        ConfigError: unknown name.
    """
    if name not in SIZES:
        raise ConfigError(f"No size {name!r}.{did_you_mean(name, SIZES)} Sizes: {', '.join(SIZES)}.")
    return dict(SIZES[name])
