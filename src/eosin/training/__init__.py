"""Training: one loop for every backend, data, samplers, schedules, checkpoints."""
