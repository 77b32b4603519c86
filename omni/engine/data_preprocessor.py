"""What mmengine calls the data preprocessor: here it only moves a Batch to the model's device."""

from __future__ import annotations

from mmengine.model import BaseDataPreprocessor

from omni.types import Batch


class BatchPreprocessor(BaseDataPreprocessor):
    """Hands the wrapped model ``batch=`` on its device; everything else was done when the batch was collated."""

    def forward(self, data: Batch, training: bool = False) -> dict[str, Batch]:
        """``{"batch": Batch}`` with every tensor on the model's device."""
        return {"batch": data.to(self.device, non_blocking=self._non_blocking)}
