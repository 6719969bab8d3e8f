"""Errors for unknown names: near misses, and lists that end."""

from __future__ import annotations

from goldfold.errors import LISTED, unknown


def test_a_few_names_are_all_listed():
    known = [*(f"key{number}" for number in range(LISTED - 1)), "learning_rate"]
    message = unknown("key", "learning_rat", known).message
    assert "did you mean 'learning_rate'" in message
    assert message.count(",") == LISTED - 1


def test_names_that_share_a_word_are_near():
    assert "did you mean 'rate'" in unknown("key", "learning_rate", ["epochs", "rate", "width"]).message


def test_of_many_ids_the_nearest_are_listed():
    ids = [f"{number:06d}_left" for number in range(200_000)]
    message = unknown("id in the train table", "001234_lef", ids, code="unknown_id").message
    assert "did you mean '001234_left'" in message
    assert "200,000 known" in message
    assert len(message) < 200
    assert "1,000 known, such as 5," in unknown("id", "5.png", map(str, range(1000))).message
    assert len(unknown("id", "猫", ids).message) < 200
