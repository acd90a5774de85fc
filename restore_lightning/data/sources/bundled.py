"""scikit-image's photographs, which every installation has: for validation and test, never for training.

Importing this costs nothing: what reads the images is imported with the first one.
"""

import numpy as np

BUNDLED = "scikit-image's photographs"
"""What reports and `scores.json` call them."""
PHOTOGRAPHS = {"val": ("coffee", "rocket"), "test": ("astronaut", "chelsea", "motorcycle")}
"""Names of the photographs by split."""


def bundled_photograph(name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """One of scikit-image's photographs.

    Args:
        name: One of `PHOTOGRAPHS`.

    Returns:
        Image (H, W, 3) uint8, and depth (H, W) float32 in metres: of "motorcycle", whose disparity was measured.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage import data

    if name != "motorcycle":
        return getattr(data, name)(), None
    left, _, disparity = data.stereo_motorcycle()  # type: ignore[no-untyped-call]
    # Where no disparity was measured (7% of the pixels), the nearest measured one.
    nearest = distance_transform_edt(~np.isfinite(disparity), return_distances=False, return_indices=True)
    disparity = disparity[tuple(nearest)]
    metres = 994.978 * 0.193001 / (disparity + 31.086)  # focal length * baseline / (disparity + offset)
    return left, metres.astype(np.float32)
