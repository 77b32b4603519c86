"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec, hookimpl

IMAGE = (("image", "image"),)
IMAGE_TEXT = (("image", "image"), ("text", "text"))
COCO = "cocodataset.org/#download: the pictures and the annotations of the release"
KARPATHY = "is in caption_datasets.zip of cs.stanford.edu/people/karpathy"
PICTURES = "the pictures: terms of Flickr, each with its own licence"


AUGMENTATIONS = (
    ("image_flip", "ImageFlip", "Mirrors at random"),
    ("image_erase", "ImageErase", "Fills a random rectangle with the mean colour"),
    ("image_noise", "ImageNoise", "White noise"),
    ("image_color", "ImageColor", "Brightness, contrast and saturation"),
)


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="image", summary="Pictures: JPEG, PNG, WebP, ... as 16 x 16 patches", maturity="stable")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="image",
            target="omni_plugin_image.adapter:ImageAdapter",
            loader="omni_plugin_image.io:load",
            transform="image_basic",
            sample="omni_plugin_image.io:sample",
            layout="2d",
            extensions=(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"),
            summary="Pictures of any size and aspect",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="image_basic",
            target="omni_plugin_image.transform:ImageBasic",
            modality="image",
            summary="Bicubic resize (squash, crop or keep the aspect), CLIP mean and std, random resized crop",
        ),
        *(
            TransformSpec(
                name=name,
                target=f"omni_plugin_image.augmentations:{kind}",
                modality="image",
                role="augment",
                summary=summary,
            )
            for name, kind, summary in AUGMENTATIONS
        ),
    ]


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    """Published layouts, read from the user's folder; docs/layouts has a page for each."""
    return [
        DatasetSpec(
            name="imagenet",
            target="omni_plugin_image.layouts.imagenet:ImageNet",
            summary="ImageNet (ILSVRC 2012): 1,000 classes, folders or flat validation pictures with the devkit",
            modalities=IMAGE,
            splits=("train", "val"),
            license="ImageNet's terms of access: non-commercial research and education",
            obtained="ask at image-net.org, or the competition imagenet-object-localization-challenge at kaggle.com",
        ),
        DatasetSpec(
            name="coco_captions",
            target="omni_plugin_image.layouts.coco_captions:CocoCaptions",
            summary="COCO captions of 2014 or 2017, or Karpathy's split; five captions a picture",
            modalities=IMAGE_TEXT,
            license=f"annotations CC-BY-4.0; {PICTURES}",
            obtained=f"{COCO}; Karpathy's dataset_coco.json {KARPATHY}",
        ),
        DatasetSpec(
            name="coco_boxes",
            target="omni_plugin_image.layouts.coco_boxes:CocoBoxes",
            summary="COCO detection of 2014 or 2017: boxes, 80 classes, flags of crowds",
            modalities=IMAGE,
            splits=("train", "val"),
            license=f"annotations CC-BY-4.0; {PICTURES}",
            obtained=COCO,
        ),
        DatasetSpec(
            name="flickr30k",
            target="omni_plugin_image.layouts.flickr30k:Flickr30k",
            summary="Flickr30k: 31,783 pictures with five captions each, Karpathy's split or the published table",
            modalities=IMAGE_TEXT,
            splits=("train", "val", "test", "all"),
            license="the pictures: Flickr's terms of use, non-commercial research and education only",
            obtained=f"the form at shannon.cs.illinois.edu/DenotationGraph; Karpathy's table {KARPATHY}",
        ),
        DatasetSpec(
            name="vqav2",
            target="omni_plugin_image.layouts.vqav2:VqaV2",
            summary="VQA v2.0: questions on COCO pictures, ten answers each, soft scores",
            modalities=IMAGE_TEXT,
            splits=("train", "val", "test", "test-dev"),
            license=f"annotations CC-BY-4.0; {PICTURES}",
            obtained="visualqa.org/download.html, and the COCO pictures of 2014 and 2015 at cocodataset.org",
        ),
        DatasetSpec(
            name="refcoco",
            target="omni_plugin_image.layouts.refcoco:RefCoco",
            summary="RefCOCO, RefCOCO+, RefCOCOg: expressions that refer to one box of a COCO picture",
            modalities=IMAGE_TEXT,
            splits=("train", "val", "testA", "testB", "test"),
            license=f"expressions: no licence stated by their authors; {PICTURES}",
            obtained="links at github.com/lichengunc/refer; the COCO pictures of train2014 at cocodataset.org",
        ),
    ]
