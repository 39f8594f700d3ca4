"""``dwt-dct`` in tensors, on the device that holds the pictures. Needs PyTorch, which nothing else of it imports.

The modules have the names of those that they repeat in ``markai.watermarks``, and take every constant from there.
"""
