"""Methods for the tests of the benchmark of texts, named as ``bench_text_methods:Name`` in its processes too."""

from markai.bench.text.marks import Reading


class Refuses:
    """Cannot write anything."""

    payload_bytes = 0

    def write(self, *_):
        raise ValueError("nothing\nto say")

    def read(self, *_, weigh=True):  # noqa: ARG002
        return Reading(0.0)


class Stumbles(Refuses):
    """Writes, and fails to read."""

    def write(self, author, prompt, length, _trial, rng):
        return author.write(prompt, length, rng)

    def read(self, *_, weigh=True):  # noqa: ARG002
        raise RuntimeError("lost the thread")


class Nothing:
    """Is no method."""
