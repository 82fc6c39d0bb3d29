"""The files of a checkpoint folder, by name: the one place where they are written."""

FORMAT = "sencap-captioner-1"
CONFIG, WEIGHTS, VOCABULARY, CARD = (
    "config.json",
    "model.safetensors",
    "vocabulary.json",
    "README.md",
)
GRAPHS = ("encoder.onnx", "start.onnx", "step.onnx")
ENCODER_INT8 = "encoder.int8.onnx"

NEEDED = (CONFIG, WEIGHTS, VOCABULARY)
FILES = (*NEEDED, CARD, *GRAPHS, ENCODER_INT8)
