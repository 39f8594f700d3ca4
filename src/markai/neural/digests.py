"""Which weights ship; ``python -m markai.neural.export`` writes this file beside them."""

SIZE = "small"  # of the networks: model.SIZES
SHA256 = {
    "learned.safetensors": "3d9d37c54c08018ba4a101b589dccb04997fdd1b05f008187b14a70b95e2eaa4",
    "writer.onnx": "704cf7e7373b66409435d27528977b432b84fab61a34d1df798d81a2ecee1023",
    "reader.onnx": "cf72fab56c8d880573f8b7cb4ad6a674639a1f64e5aa8dd5a42fe0586cbef229",
}
