"""Measurements that stand beside a peer or a limit."""
