"""What every room of the house needs: errors, registries, types, seeds, whole files."""
