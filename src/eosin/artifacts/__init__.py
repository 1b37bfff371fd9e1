"""Run and model folders: schemas, readers, writers, versions."""
