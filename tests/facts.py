"""Facts that tests pin: in a text for people, whatever its sentences; on a page; in a history."""

import re

from eosin.artifacts.predictions import read_history


def tells(text, *facts):
    """Return True if a text, or the lines of one, has all facts as whole words, in this order."""
    text = text if isinstance(text, str) else "\n".join(text)
    pattern = ".*".join(rf"(?<!\w){re.escape(str(fact))}(?!\w)" for fact in facts)
    return re.search(pattern, text, re.DOTALL) is not None


def has_files(page):
    """Return True if each table and figure of a page is linked to files of its own beside it."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r'href="((?:tables|figures)/[^"]+)"', text)
    assert len(set(links)) == len(links), "two tables or figures have one file"
    assert all((page.parent / link).is_file() for link in links), "a link leads nowhere"
    counts = {kind: sum(link.endswith(kind) for link in links) for kind in ("csv", "png", "svg")}
    n_tables, n_figures = text.count("<table"), text.count("<figure")
    return n_tables > 0 and counts == {"csv": n_tables, "png": n_figures, "svg": n_figures}


def same_history(*paths):
    """Return True if files ``history.csv`` are equal to the bit, but for the wall time."""
    first, *others = (read_history(path).drop(columns="seconds") for path in paths)
    return all(first.equals(other) for other in others)
