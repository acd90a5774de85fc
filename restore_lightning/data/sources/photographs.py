"""scikit-image's photographs: embedded validation and test images."""

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from restore_lightning.data.sources.base import CleanImage
from restore_lightning.io.images import from_array

BUNDLED = {"val": ("coffee", "rocket"), "test": ("astronaut", "chelsea", "motorcycle")}
"""scikit-image's photographs by split. They are for validation and test, never for training."""


def bundled(name: str) -> CleanImage:
    """One of scikit-image's photographs; "motorcycle" has the depth that its disparity was measured for."""
    from skimage import data

    if name != "motorcycle":
        return CleanImage(from_array(getattr(data, name)()), None)
    left, _, disparity = data.stereo_motorcycle()  # type: ignore[no-untyped-call]
    # Where no disparity was measured (7% of the pixels), the nearest measured one.
    nearest = distance_transform_edt(~np.isfinite(disparity), return_distances=False, return_indices=True)
    disparity = disparity[tuple(nearest)]
    metres = 994.978 * 0.193001 / (disparity + 31.086)  # focal length * baseline / (disparity + offset)
    return CleanImage(from_array(left), torch.from_numpy(metres.astype(np.float32)))
