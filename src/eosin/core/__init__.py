"""Base of all packages: errors, files, registries, seeding, text, types and settings."""
