"""The training loop on Lightning: module, batches, schedules, callbacks."""
