"""Facts that tests pin: in a text for people, whatever its sentences; in a history but for time."""

import re

from eosin.artifacts.predictions import read_history


def tells(text, *facts):
    """Return True if a text, or the lines of one, has all facts as whole words, in this order."""
    text = text if isinstance(text, str) else "\n".join(text)
    pattern = ".*".join(rf"(?<!\w){re.escape(str(fact))}(?!\w)" for fact in facts)
    return re.search(pattern, text, re.DOTALL) is not None


def same_history(*paths):
    """Return True if files ``history.csv`` are equal to the bit, but for the wall time."""
    first, *others = (read_history(path).drop(columns="seconds") for path in paths)
    return all(first.equals(other) for other in others)
