"""Split a probability map into objects: threshold, then watershed on the distance to the background."""

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
    """Return the objects of one image, int32 (h, w): 0 is background, objects are 1, 2, ... without gaps.

    probability: (h, w) floats in [0, 1].
    threshold: pixels with a larger probability are foreground.
    smoothing: standard deviation in pixels of the Gaussian that smooths the Euclidean distance to the background. Each
        object has one peak of this distance; touching objects are split along the valleys between their peaks
        (Beucher and Lantuéjoul 1979, as implemented in scikit-image).
    min_distance: minimum distance in pixels between two peaks of one connected component; larger values merge more.
    min_size: objects with fewer pixels are dropped.

    Deterministic: equal maps give equal objects.
    """
    from skimage import feature, measure, segmentation

    foreground = probability > threshold
    components = measure.label(foreground, connectivity=1)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(foreground), smoothing)
    peaks = feature.peak_local_max(distance, min_distance=min_distance, labels=components, exclude_border=False)
    markers = np.zeros(foreground.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    objects = segmentation.watershed(-distance, markers, mask=foreground)
    large = np.bincount(objects.ravel(), minlength=1) >= min_size
    return segmentation.relabel_sequential(np.where(large[objects], objects, 0))[0].astype(np.int32)
