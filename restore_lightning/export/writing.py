"""Traced programs as files: ONNX and torch.export's own format."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from restore_lightning.errors import UserError, shortened_error
from restore_lightning.export.description import INPUT, KEY, OUTPUT, UNCLAMPED, Description
from restore_lightning.export.graph import quiet
from restore_lightning.export.onnx_network import OnnxNetwork


def write_program(program: ExportedProgram, path: Path, description: Description, opset: int | None = None) -> None:
    """Write a program in the format that the path's suffix names.

    Args:
        program: With one input and one output.
        path: To write to; replaced.
        description: Kept in the file.
        opset: Of ONNX; None: that of torch's exporter.

    Raises:
        UserError: An operation that ONNX has no words for, or an opset that the exporter does not write.
    """
    if path.suffix == ".onnx":
        _write_onnx(program, path, description, opset)
        return
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    torch.export.save(program, path, extra_files=description.metadata())


def read_program(path: Path) -> tuple[Callable[[Tensor], Tensor], Description]:
    """What a file that was just written does, (B, C, H, W) -> (B, C, scale * H, scale * W), and says of itself.

    Args:
        path: Of a file of our own: torch.export's format is not one to read a stranger's in.

    Raises:
        UserError: onnxruntime does not take it.
    """
    if path.suffix == ".onnx":
        network = OnnxNetwork(path)
        return network, network.description
    texts = {KEY: ""}
    program = torch.export.load(path, extra_files=texts)
    return program.module(), Description.of(texts)


def _write_onnx(program: ExportedProgram, path: Path, description: Description, opset: int | None) -> None:
    import onnx

    try:
        with quiet():
            made: Any = torch.onnx.export(
                program, input_names=[INPUT], output_names=[OUTPUT], opset_version=opset, dynamo=True, verbose=False
            )
        model: onnx.ModelProto = made.model_proto
    except Exception as error:
        network, operation = description.network, _operation(error)
        if operation is None:
            asked = "" if opset is None else f" in opset {opset}"
            raise UserError(
                f"{network} cannot be written as ONNX{asked}: {shortened_error(error)}", exit_code=1
            ) from error
        raise UserError(
            f"{network} cannot be written as ONNX, which has no {operation}: give OUT.pt2", exit_code=1
        ) from error
    written = max(one.version for one in model.opset_import if not one.domain)
    if opset is not None and written != opset:
        raise UserError(f"--opset {opset}: the exporter writes {written} for {description.network}, give that one")
    _clean(model)
    _add_unclamped(model)
    for name, text in description.metadata().items():
        model.metadata_props.add(key=name, value=text)
    onnx.save_model(model, path)


def _clean(model: Any) -> None:
    """Leave out what describes the tracing, among it paths of this machine, and name the open sides."""
    graph = model.graph
    del graph.value_info[:]
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *model.functions, *graph.input, *graph.output):
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
        if hasattr(part, "doc_string"):
            part.doc_string = ""
    names = {}
    sides = graph.input[0].type.tensor_type.shape.dim
    for place, name in {0: "batch", 2: "height", 3: "width"}.items():
        names[sides[place].dim_param] = name
    for side in (*sides, *graph.output[0].type.tensor_type.shape.dim):
        if side.dim_param:
            side.dim_param = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), side.dim_param)


def _add_unclamped(model: Any) -> None:
    """Make what the clamp at the end gets an output, too: onnxruntime computes those that it is asked for."""
    graph = model.graph
    (last,) = (node for node in graph.node if OUTPUT in node.output)
    if last.op_type != "Clip" or last.input[0] in {value.name for value in (*graph.input, *graph.initializer)}:
        return
    unclamped = last.input[0]
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == unclamped:
                    names[place] = UNCLAMPED
    graph.output.add().CopyFrom(graph.output[0])
    graph.output[1].name = UNCLAMPED


def _operation(error: BaseException | None) -> str | None:
    """The operation that an error of the exporter names, in itself or in what caused it."""
    while error is not None:
        found = re.search(r"No ONNX function found for .*?op='([\w.]+)'|target=torch\.ops\.([\w.]+)", str(error))
        if found:
            return found[1] or found[2]
        error = error.__cause__ or error.__context__
    return None
