"""From an image file to a decision, with what a hospital installs: no torch."""
