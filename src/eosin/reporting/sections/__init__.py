"""Sections of a page, one module a topic: its words, tables and figures."""
