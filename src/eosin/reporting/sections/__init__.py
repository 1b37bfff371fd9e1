"""Sections of a page, one module per topic: text, tables and figures."""
