from tests.facts import tells


def test_facts_are_whole_words_in_their_order():
    text = "left out: 12 images of 'a' (0.5)"
    assert tells(text, "12 images", "'a'", 0.5)
    assert tells(["left out:", "12 images"], "out", 12)
    assert not tells(text, "2 images")
    assert not tells(text, 0.5, 12)
    assert not tells("abcd", "bc")
