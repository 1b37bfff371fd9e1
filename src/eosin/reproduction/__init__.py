"""A paper's tables and figures rebuilt, beside the printed ones."""
