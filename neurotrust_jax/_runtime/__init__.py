"""What a computation runs on: options, text, host arrays, memory, devices, checkpoints."""
