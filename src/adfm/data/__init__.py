"""Folders of images and masks in, samples out: layouts, splits, tiles, manifests, faults, synthetic parts."""
