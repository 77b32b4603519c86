"""Named numbers -> tokens: one a column, or one of an MLP over percentiles and flags."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.errors import ConfigError, InputError
from omni.types import TokenSequence
from omni_plugin_tabular.schema import EXAMPLE

STEMS = ("tokens", "mlp")


class TabularAdapter(ModalityAdapter):
    """Tokens of a row of named numbers. What was not recorded changes nothing but the flags.

    "tokens": a class token and one token a column, each number's features times weights of its column, plus the
    column's embedding (the feature tokenizer of FT-Transformer, Gorishniy et al. 2021, with periodic features);
    columns that are missing are masked. "mlp": one token, an MLP with GELU over percentiles and flags (1 = recorded),
    as the laboratory values of Symile-MIMIC are read (Saporta et al. 2024: 100-256-1024-d).

    Args:
        modality, width, num_heads, num_layers: as in ModalityAdapter.
        columns: C of the schema of the slot's transform.
        stem: "tokens" or "mlp".
        frequencies: of the sines and cosines of the percentile, for "tokens": pi, 2 pi, 4 pi, ...
        hidden: units of the hidden layers, for "mlp".
        fill: percentile that stands where nothing was recorded, for "mlp": a number, or one for each column (the
            published model takes the means of the training rows).

    Raises:
        ConfigError: an unknown stem, sizes below 1, or a ``fill`` that does not fit.
    """

    def __init__(
        self,
        *,
        modality: str = "tabular",
        width: int,
        num_heads: int,
        num_layers: int,
        columns: int = len(EXAMPLE),
        stem: str = "tokens",
        frequencies: int = 4,
        hidden: Sequence[int] = (256, 1024),
        fill: float | Sequence[float] = 0.5,
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        if stem not in STEMS:
            raise ConfigError(f"The tabular adapter's stem is one of {', '.join(STEMS)}, not {stem!r}.")
        if columns < 1 or frequencies < 0 or any(units < 1 for units in hidden):
            raise ConfigError("The tabular adapter needs columns and hidden of at least 1, frequencies of at least 0.")
        self.columns, self.stem, self.frequencies = int(columns), stem, int(frequencies)
        self.norm = nn.LayerNorm(width, eps=1e-5)
        if stem == "mlp":
            fills = [float(fill)] * columns if isinstance(fill, (int, float)) else [float(item) for item in fill]
            if len(fills) != columns or not all(0 <= item <= 1 for item in fills):
                raise ConfigError(f"The tabular adapter's fill is a percentile from 0 to 1, or {columns} of them.")
            self.register_buffer("fill_C", torch.tensor(fills), persistent=False)
            sizes = (2 * columns, *(int(units) for units in hidden), width)
            layers = [nn.Linear(first, second) for first, second in pairwise(sizes)]
            parts = [module for layer in layers for module in (layer, nn.GELU())]
            self.mlp = nn.Sequential(*parts[:-1])
            for layer in layers:
                nn.init.trunc_normal_(layer.weight, std=layer.in_features**-0.5)
                nn.init.zeros_(layer.bias)
        else:
            features = 2 + 2 * self.frequencies
            self.value_weight_CFD = nn.Parameter(torch.empty(columns, features, width))
            self.column_embedding_CD = nn.Parameter(torch.empty(columns, width))
            self.class_token = nn.Parameter(torch.empty(1, 1, width))
            nn.init.trunc_normal_(self.value_weight_CFD, std=features**-0.5)
            nn.init.trunc_normal_(self.column_embedding_CD, std=0.5)
            nn.init.trunc_normal_(self.class_token, std=0.02)

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed rows.

        Args:
            inputs: ``values_BC`` float (robust scores), ``percentiles_BC`` float in 0..1, ``valid_BC`` bool (True =
                recorded).
            keep_BL: (B, L) over class token and columns (over the one token of "mlp"); None = all.

        Returns:
            TokenSequence; positions_BLP are the numbers of the columns, -1 for the class token and that of "mlp".

        Raises:
            InputError: tensors that are missing or do not fit, another number of columns, or a row without a number.
        """
        values_BC, percentiles_BC, valid_BC = self._read(inputs)
        if self.stem == "mlp":
            sequence = self._one_token(percentiles_BC, valid_BC)
        else:
            sequence = self._tokens(values_BC, percentiles_BC, valid_BC)
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)

    def _read(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        missing = {"values_BC", "percentiles_BC", "valid_BC"} - set(inputs)
        if missing:
            raise InputError(
                f"The tabular adapter reads values_BC, percentiles_BC and valid_BC; the batch has {', '.join(inputs)}. "
                "Use the transform 'tabular_basic' for its slot."
            )
        values, percentiles, valid = inputs["values_BC"], inputs["percentiles_BC"], inputs["valid_BC"]
        if values.dim() != 2 or values.shape != percentiles.shape or values.shape != valid.shape:
            shapes = tuple(values.shape), tuple(percentiles.shape), tuple(valid.shape)
            raise InputError(f"values_BC, percentiles_BC and valid_BC have the shapes {shapes}, which do not fit.")
        if values.shape[1] != self.columns:
            raise InputError(
                f"Rows of {values.shape[1]} columns, but the adapter was built for {self.columns}; set "
                f"adapters=dict({self.modality}=dict(columns={values.shape[1]})) to the number of the schema's columns."
            )
        if not torch.compiler.is_compiling() and not bool(valid.any(1).all()):
            row = int((~valid.any(1)).nonzero()[0])
            raise InputError(f"Row {row} of the batch has no number; leave its slot out of the sample.")
        dtype = self.norm.weight.dtype
        return values.masked_fill(~valid, 0.0).to(dtype), percentiles.masked_fill(~valid, 0.0).to(dtype), valid

    def _one_token(self, percentiles_BC: Tensor, valid_BC: Tensor) -> TokenSequence:
        filled_BC = torch.where(valid_BC, percentiles_BC, self.fill_C.to(percentiles_BC.dtype))
        tokens_BD = self.norm(self.mlp(torch.cat((filled_BC, valid_BC.to(filled_BC.dtype)), 1)))
        return TokenSequence(
            tokens_BLD=tokens_BD[:, None],
            valid_BL=valid_BC.new_ones(len(valid_BC), 1),
            modality=self.modality,
            positions_BLP=torch.full((1, 1, 1), -1.0, device=valid_BC.device),
        )

    def _tokens(self, values_BC: Tensor, percentiles_BC: Tensor, valid_BC: Tensor) -> TokenSequence:
        turns_K = math.pi * 2.0 ** torch.arange(self.frequencies, device=values_BC.device)
        angles_BCK = percentiles_BC.float()[..., None] * turns_K
        parts = (values_BC[..., None], percentiles_BC[..., None] - 0.5, angles_BCK.sin(), angles_BCK.cos())
        features_BCF = torch.cat([part.to(self.value_weight_CFD.dtype) for part in parts], -1)
        tokens_BCD = torch.einsum("bcf,cfd->bcd", features_BCF, self.value_weight_CFD)
        tokens_BCD = self.norm(tokens_BCD + self.column_embedding_CD.to(tokens_BCD.dtype))
        first = self.class_token.to(tokens_BCD.dtype).expand(len(tokens_BCD), -1, -1)
        return TokenSequence(
            tokens_BLD=torch.cat((first, tokens_BCD), 1),
            valid_BL=nn.functional.pad(valid_BC, (1, 0), value=True),
            modality=self.modality,
            positions_BLP=torch.arange(-1.0, self.columns, device=values_BC.device)[None, :, None],
        )
