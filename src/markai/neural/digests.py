"""Which weights ship; ``python -m markai.neural.export`` writes this file beside them."""

SIZE = "small"  # of the networks: model.SIZES
SHA256 = {
    "learned.safetensors": "ca7a9d7f63dd3e91942cda236b39422b386487e073a0797ef296a0a353c5247b",
    "writer.onnx": "b3fbcfbd710008c5d741d9017ea4118a95ca949b684e025b806dc071d82552d2",
    "reader.onnx": "dc391ef8d7fa82e6cef70d538cbbed010e66820c5469097d59c8192477e6ed57",
}
