"""Facts in a text for people: a test pins them, not the sentence around them."""

import re


def tells(text, *facts):
    """Return True if a text, or the lines of one, has all facts as whole words, in this order."""
    text = text if isinstance(text, str) else "\n".join(text)
    pattern = ".*".join(rf"(?<!\w){re.escape(str(fact))}(?!\w)" for fact in facts)
    return re.search(pattern, text, re.DOTALL) is not None
