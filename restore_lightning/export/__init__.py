"""Networks as files that run without this package: ONNX, and the programs of torch.export."""
