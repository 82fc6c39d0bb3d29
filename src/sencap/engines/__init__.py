"""Engines: what runs a captioner's network. NumPy arrays go in and come out, whatever
is inside.

Two of them do the same: `sencap.engines.onnx` (ONNX Runtime, no PyTorch) and
`sencap.engines.torch`; `sencap.engines.choice` takes one. Search, the predictor and
explain are written once, over the contract in `sencap.engines.contract`.
"""
