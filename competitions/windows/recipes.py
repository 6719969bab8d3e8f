"""Statistics of features over time (the baseline), and a network on the frames themselves."""

from __future__ import annotations

from goldfold.recipes import sequence_network, statistics_pooling

CLASSES = (0, 1)

RECIPES = {
    "statistics_pooling": statistics_pooling.recipe("label", CLASSES),
    "sequence_network": sequence_network.recipe("label", CLASSES),
}
