"""Training loop on Lightning: module, batches, schedules, callbacks."""
