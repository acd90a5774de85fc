"""Restore a photo by a file of `restore export`."""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

if len(sys.argv) != 4:
    sys.exit("usage: python onnx_apply.py MODEL.onnx PHOTO RESTORED.png")
model, photo, restored = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
channels = session.get_inputs()[0].shape[1]  # of a network for gray images 1: colours become a batch

opened = ImageOps.exif_transpose(Image.open(photo))
if opened.has_transparency_data:
    print(f"{photo}: alpha is not kept", file=sys.stderr)
pixels = np.asarray(opened.convert("RGB"))
image = pixels.transpose(2, 0, 1).astype(np.float32) / 255
(result,) = session.run(["restored"], {"image": image.reshape(-1, channels, *image.shape[1:])})
result = np.rint(result.reshape(3, *result.shape[2:]) * 255).astype(np.uint8)
Image.fromarray(result.transpose(1, 2, 0)).save(restored)
