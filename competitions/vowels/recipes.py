"""Statistics of the cepstrum over time (the baseline), and a network on the frames themselves."""

from __future__ import annotations

from competitions.vowels.data import SPEAKERS
from goldfold.recipes import sequence_network, statistics_pooling

RECIPES = {
    "statistics_pooling": statistics_pooling.recipe("speaker", SPEAKERS),
    "sequence_network": sequence_network.recipe("speaker", SPEAKERS),
}
