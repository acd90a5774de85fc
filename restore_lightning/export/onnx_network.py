"""An exported ONNX file as a network."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from restore_lightning.errors import UserError, shortened_error, shortened_text
from restore_lightning.export.description import INPUT, OUTPUT, UNCLAMPED, Description
from restore_lightning.inference import Restorer
from restore_lightning.io.files import near_path
from restore_lightning.networks import NetworkInfo, SizeRule

NEEDED = ("onnx", "onnxscript", "onnxruntime")
OLDEST_OPSET, OLDEST_IR = 18, 8
"""That torch's exporter writes without a conversion."""
CUDA = "CUDAExecutionProvider"


def check_installed() -> None:
    """Refuse to go on without the packages that write and run ONNX.

    Raises:
        UserError: One of them is missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} is not installed: pip install 'restore-lightning[export]'")


def check_opset(opset: int) -> None:
    """Refuse an opset that the exporter does not write, or the installed onnxruntime does not run.

    Raises:
        UserError: It is none of those.
    """
    import onnxruntime
    from onnx import TensorProto, defs, helper

    def runs(opset: int) -> bool:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("a", "b")]
        graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "relu", ends[:1], ends[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=OLDEST_IR)
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        except Exception:
            return False
        return True

    allowed = [each for each in range(OLDEST_OPSET, defs.onnx_opset_version() + 1) if runs(each)]
    if opset not in allowed:
        raise UserError(
            f"--opset {opset}: onnxruntime {onnxruntime.__version__} runs what torch writes from {allowed[0]} to"
            f" {allowed[-1]}, give one of these"
        )


def _providers(device: str | None) -> list[str | tuple[str, dict[str, int]]]:
    """What onnxruntime is to compute with, the first that can."""
    import onnxruntime

    kind, _, number = (device or "cuda").partition(":")
    there = CUDA in onnxruntime.get_available_providers()
    if kind not in ("cpu", "cuda") or not (number or "0").isdecimal():
        _refuse_device(device, "exported files are computed on cpu or cuda")
    if device is not None and kind == "cuda" and not there:
        _refuse_device(device, f"onnxruntime {onnxruntime.__version__} computes on the CPU only")
    return [(CUDA, {"device_id": int(number or 0)})] * (kind == "cuda" and there) + ["CPUExecutionProvider"]


def _refuse_device(device: str | None, why: str) -> NoReturn:
    raise UserError(f"--device {device}: {why}; install onnxruntime-gpu in place of onnxruntime, or give cpu")


class OnnxNetwork(nn.Module):
    """A file of `restore export`, run by onnxruntime: it has no parameters, and cannot be trained.

    Args:
        path: Of the file.
        device: "cpu" or "cuda", perhaps with a number; None: cuda where onnxruntime has it.

    Raises:
        UserError: It cannot be read, was not written by `restore export`, or onnxruntime cannot use the device.
    """

    def __init__(self, path: str | Path, device: str | None = "cpu") -> None:
        super().__init__()
        check_installed()
        if not Path(path).is_file():
            missing = f"no such file{near_path(Path(path), kind=Path.is_file)}"
            raise UserError(f"{path}: {'a folder, name a file' if Path(path).is_dir() else missing}")
        import onnxruntime

        providers = _providers(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # its errors are raised, too
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            what = shortened_text(" ".join(str(error).split()), 300)
            raise UserError(
                f"{path}: onnxruntime {onnxruntime.__version__} cannot use it: {what}", exit_code=1
            ) from error
        # One whose libraries are missing is left out without an error.
        self.device = (device or "cuda") if CUDA in self.session.get_providers() else "cpu"
        if device is not None and device.startswith("cuda") and self.device == "cpu":
            _refuse_device(device, f"{CUDA} is there, but cannot be loaded (CUDA and cuDNN of its version?)")
        names = [output.name for output in self.session.get_outputs()]
        self.output = UNCLAMPED if UNCLAMPED in names else OUTPUT
        try:
            self.description = Description.of(self.session.get_modelmeta().custom_metadata_map)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        described = self.description
        self.info = NetworkInfo(
            channels=described.channels,
            scale=described.scale,
            sizes=SizeRule(described.multiple, described.minimum),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1], of a size that `info` names -> (B, C, scale * H, scale * W), not clamped.

        Raises:
            RuntimeError: Whatever onnxruntime raises, too little memory too.
        """
        array = image.to("cpu", torch.float32).numpy()
        try:
            (restored,) = self.session.run([self.output], {INPUT: array})
        except Exception as error:  # onnxruntime's are of kinds of its own, no RuntimeErrors
            raise RuntimeError(f"onnxruntime: {shortened_error(error)}") from error
        return torch.from_numpy(restored).to(image)


def exported_restorer(options: argparse.Namespace) -> Restorer:
    """The exported network that `restore apply` is asked to use.

    Args:
        options: Its command line; `device` becomes the CPU, where images are handed over, `order` None.

    Raises:
        UserError: As `OnnxNetwork`; or an option that says otherwise than the file.
    """
    path = Path(options.checkpoint)
    network = OnnxNetwork(path, options.device)
    described = network.description
    fixed = {"order": described.removes, "precision": described.precision, "local_statistics": "none"}
    for name, value in fixed.items():
        given = getattr(options, name)
        if given not in (None, "auto", value):
            raise UserError(f"--{name.replace('_', '-')} {given}: {path} has {value}, leave the option out")
    options.order, options.device = None, "cpu"
    return Restorer({described.removes: network})
