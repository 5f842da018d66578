"""What a computation runs on: checked options, host arrays, memory, devices, checkpoints."""
