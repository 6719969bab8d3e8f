"""Objects out of a probability map: threshold, then watershed on the distance to the background."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def watershed(
    probability: np.ndarray,
    *,
    threshold: float = 0.5,
    min_distance: int = 3,
    smoothing: float = 1.0,
    min_size: int = 10,
) -> np.ndarray:
    """The objects of one image as an int32 (h, w) map: 0 = background, objects 1, 2, ... without gaps.

    probability: (h, w) floats in [0, 1]. What is above `threshold` is foreground. Its Euclidean distance to the
        background, smoothed by a Gaussian of `smoothing` pixels, has one peak per object; touching objects part along
        the valleys between their peaks (Beucher and Lantuéjoul 1979, as scikit-image has it).
    min_distance: pixels between two peaks of one connected part; larger values merge more.
    min_size: objects of fewer pixels are dropped.

    Equal maps give equal objects: nothing here is random.
    """
    from skimage import feature, measure, segmentation

    foreground = probability > threshold
    parts = measure.label(foreground, connectivity=1)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(foreground), smoothing)
    peaks = feature.peak_local_max(distance, min_distance=min_distance, labels=parts, exclude_border=False)
    markers = np.zeros(foreground.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    objects = segmentation.watershed(-distance, markers, mask=foreground)
    large = np.bincount(objects.ravel(), minlength=1) >= min_size
    return segmentation.relabel_sequential(np.where(large[objects], objects, 0))[0].astype(np.int32)
