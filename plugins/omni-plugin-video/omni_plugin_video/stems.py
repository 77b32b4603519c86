"""Stems: cells of pixels, some frames deep, -> tokens."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from omni.errors import ConfigError
from omni_plugin_image.stems import HmlpStem, PatchStem


class FrameStem(nn.Module):
    """A picture's stem on each frame by itself.

    ``frame.*`` has the names and shapes of the image adapter's stem, whose weights it takes.

    Args:
        width: D.
        patch_size: P.
        hmlp: three convolutions within each patch, else one linear map.
    """

    def __init__(self, *, width: int, patch_size: int, hmlp: bool) -> None:
        super().__init__()
        self.frame = (HmlpStem if hmlp else PatchStem)(width=width, patch_size=patch_size)

    def forward(self, cells: Tensor) -> Tensor:
        """(..., 1, C, P, P) -> (..., D)."""
        return self.frame(cells.squeeze(-4))


class TubeletStem(nn.Module):
    """One linear map a tubelet, t frames of a patch (ViViT, Arnab et al. 2021): a 3d convolution k = s = (t, P, P).

    ``conv.weight`` (D, 3, t, P, P), ``conv.bias`` (D).

    Args:
        width: D.
        patch_size: P.
        tubelet: t.
    """

    def __init__(self, *, width: int, patch_size: int, tubelet: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (tubelet, patch_size, patch_size), (tubelet, patch_size, patch_size))

    def forward(self, cells: Tensor) -> Tensor:
        """(..., t, C, P, P) -> (..., D)."""
        weight = self.conv.weight.transpose(1, 2).flatten(1)  # the cells have time before channels
        return F.linear(cells.flatten(-4), weight, self.conv.bias)

    def inflate(self, weight_DCPP: Tensor, bias_D: Tensor, *, central: bool = False) -> None:
        """Take the weights of a picture's linear stem: repeated and divided by t, so that a still film gives the tokens
        of its picture; or at the middle frame, zero elsewhere (ViViT, section 3.4).

        Args:
            weight_DCPP: (D, 3, P, P).
            bias_D: (D,).
            central: the second way.
        """
        count = self.conv.weight.shape[2]
        spread = weight_DCPP[:, :, None].expand(-1, -1, count, -1, -1) / count
        if central:
            spread = spread.new_zeros(spread.shape)
            spread[:, :, count // 2] = weight_DCPP
        self.conv.weight.data.copy_(spread)
        self.conv.bias.data.copy_(bias_D)


def build_stem(name: str, *, width: int, patch_size: int, tubelet: int) -> nn.Module:
    """The stem of that name.

    Raises:
        ConfigError: an unknown name, or frames that it cannot join.
    """
    if name not in ("hmlp", "patch", "tubelet"):
        raise ConfigError(f"The video adapter has the stems hmlp, patch, tubelet, not {name!r}.")
    if name == "tubelet":
        return TubeletStem(width=width, patch_size=patch_size, tubelet=tubelet)
    return FrameStem(width=width, patch_size=patch_size, hmlp=name == "hmlp")
