"""How images become tokens: one class per kind, with the operations that training needs on the images of a batch.

A kind knows the names that processor and model use, and nothing of prompts or answers. Left out: videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from adfm.errors import ModelError


class ImageFeatures(NamedTuple):
    """What a model's vision tower makes of one image: features (rows * columns, width), row by row."""

    features: Any
    rows: int
    columns: int


class Grid:
    """Images as a flat list of patches, with a grid (frames, rows, columns) of patches per image (Qwen-VL)."""

    pixels = "pixel_values"
    """Field of the patches, (patches of all images, numbers of a patch)."""
    grids = "image_grid_thw"
    """Field of the grids, (images, 3) in patches."""
    fields = (pixels, grids)
    """Fields that hold the images of a batch."""
    token_types = "mm_token_type_ids"  # noqa: S105 - no password
    """Field of the token types, (rows, tokens): 1 where a token stands for an image."""

    def made_by(self, processor: Any) -> bool:
        """Whether a processor returns images in this form."""
        return self.grids in getattr(processor, "model_input_names", ())

    def in_batch(self, batch: Mapping[str, Any]) -> bool:
        """Whether a batch holds images."""
        return batch.get(self.grids) is not None

    def split(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the fields of each image of a batch: its patches, and its grid (3,)."""
        patches = batch[self.pixels].split(batch[self.grids].prod(dim=-1).tolist())
        return [{self.pixels: own, self.grids: grid} for own, grid in zip(patches, batch[self.grids], strict=True)]

    def join(self, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the fields of a batch that holds these images, at least one, in this order."""
        import torch

        return {
            self.pixels: torch.cat([image[self.pixels] for image in images]),
            self.grids: torch.stack([image[self.grids] for image in images]),
        }

    def positions(self, model: Any, ids: Any, token_types: Any, mask: Any, images: Mapping[str, Any]) -> Any:
        """Return the model's own positions (3, rows, tokens) of padded prompts.

        `ids`, `token_types` and `mask` are (rows, tokens); `images` holds the images of all rows in order.
        """
        fields = {self.token_types: token_types, self.grids: images[self.grids], "attention_mask": mask}
        return model.model.get_rope_index(ids, **fields)[0]

    def features(self, model: Any, processor: Any, images: Sequence[Any]) -> list[ImageFeatures]:
        """Encode RGB images by the model's vision tower. Patches are merged as the decoder sees them."""
        batch = processor.image_processor(images=list(images), return_tensors="pt")
        merge = processor.image_processor.merge_size
        encoded = model.model.get_image_features(batch[self.pixels], batch[self.grids]).pooler_output
        grids = batch[self.grids].tolist()
        return [
            ImageFeatures(features, rows // merge, columns // merge)
            for features, (_, rows, columns) in zip(encoded, grids, strict=True)
        ]

    def patches(self, processor: Any, images: Sequence[Any]) -> Any:
        """Return the patches of RGB images, (patches, numbers of a patch), as the tower's first layer reads them."""
        return processor.image_processor(images=list(images), return_tensors="pt")[self.pixels]


class Tiles:
    """Images cut into tiles of one size, each with a fixed number of tokens (InternVL).

    Training leaves their batches as the processor made them: neither the shared prefix nor the dense warm-up knows tiles.
    """

    def made_by(self, _: Any) -> bool:
        """No: no batch is taken apart."""
        return False

    in_batch = made_by

    def features(self, model: Any, processor: Any, images: Sequence[Any]) -> list[ImageFeatures]:  # noqa: ARG002
        """Refuse.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"model type '{model.config.model_type}': its images are tiles, and the dense warm-up knows grids of patches "
            "only; set dense=null"
        )


ImageTokens = Grid | Tiles
GRID = Grid()
TILES = Tiles()
