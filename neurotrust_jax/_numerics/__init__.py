"""Arithmetic that knows nothing of neurons: weighted sums, ranks, packing into equal shapes."""
