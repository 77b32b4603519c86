"""Boxes out: detection by labels of any modality, boxes of phrases, segmentation, made composites."""
