"""Which weights ship; ``python -m markai.neural.export`` writes this file beside them."""

SIZE = "small"  # of the networks: model.SIZES
SHA256 = {
    "learned.safetensors": "79bf6aec154185083c99841f00b00fd040cbf22dee971177d39b52dce1c6e157",
    "writer.onnx": "c86b7e79aee4ebaf5ff581a7ff510d6b45d19d6758dd07917a68a134f29dc93a",
    "reader.onnx": "64e462eee4d035472ae3675931740c1badaf8eb77ef06abd5ea24cdc1a16f197",
}
