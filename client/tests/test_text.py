import pytest

from ratoonclient.osc import text


@pytest.mark.parametrize(
    "size_bytes, words",
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 * 2**30, "3.0 GiB"),
        (1536 * 2**30, "1.5 TiB"),
        (5000 * 2**40, "5000.0 TiB"),
    ],
)
def test_size(size_bytes, words):
    assert text.size(size_bytes) == words


@pytest.mark.parametrize(
    "words, columns, kept",
    [
        ("short", 5, "short"),
        ("too long", 6, "too l…"),
        ("too long", 5, "too…"),
        ("升级之前", 6, "升级…"),
    ],
)
def test_cut(words, columns, kept):
    assert text.cut(words, columns) == kept
    assert text.width(kept) <= columns
