"""Words of remarks that claim something about a score, in a few languages, as regular expressions.

A pattern is searched without regard to case. Words of Latin script count as whole words only. The list is documented in
docs/experiment_log.md; what is not in it is not checked.
"""

from __future__ import annotations

import re

START, END = r"(?<![\w-])", r"(?![\w])"

SUPERLATIVES = {  # what is claimed -> words
    "best": (
        "best|top|record|state[- ]of[- ]the[- ]art|sota"
        "|beste[rsnm]?|rekord|(?:el|la|los|las|lo) mejor(?:es)?|(?:le|la|les) meilleure?s?",
        "最好|最佳|最优|最良|最善|ベスト",
    ),
    "worst": (
        "worst|schlechteste[rsnm]?|(?:el|la|los|las|lo) peor(?:es)?|(?:le|la|les) pires?",
        "最差|最坏|最悪",
    ),
    "highest": (
        "highest|höchste[rsnm]?|(?:el|la) más alt[oa]|(?:le|la) plus (?:élevée?|haute?)",
        "最高",
    ),
    "lowest": (
        "lowest|niedrigste[rsnm]?|(?:el|la) más baj[oa]|(?:le|la) plus (?:bas|basse|faible)",
        "最低",
    ),
}
DIRECTIONS = {
    "better": (
        "better|improve[sd]|improvement|helps|helped|outperforms|outperformed|beats"
        "|besser|verbessert|mejor|mejora|meilleure?s?|améliore",
        "更好|优于|改善",
    ),
    "worse": (
        "worse|worsens|worsened|hurts|hurt|degrades|degraded|schlechter|verschlechtert|peor|empeora|pire|dégrade",
        "更差|悪化",
    ),
    "higher": ("higher|höher|más alt[oa]|plus (?:élevée?|haute?)", "更高|より高い"),
    "lower": ("lower|niedriger|más baj[oa]|plus (?:bas|basse|faible)", "更低|より低い"),
}
SO_FAR = (
    "so far|yet|until now|to date|bisher|bisherige[rsnm]?|bislang|hasta ahora|jusqu['’]ici|jusqu['’]à présent",
    "迄今|目前|至今|到目前为止|これまで|今まで|今のところ",
)
NOT = r"not|no|never|cannot|nor|nicht|kein(?:e[rsnm]?)?|nie|pas|aucune?|nunca|\w+n['’]t"  # before a claim, or before:
FILLERS = (
    "the|a|an|any|our|my|this|it|that|be|been|is|was|are|were|so|yet|really|clearly|significantly|necessarily|much|always"
    "|longer|even|still|also|well|far|by|significant|das|die|der|ein|eine|deutlich|le|la|les|el|los|las|es|est|plus"
)
NOT_BEFORE, NOT_AFTER = "(?:并不是|不是|并非|不|没有|未)", r"\w{0,4}(?:では|じゃ)(?:ない|なかった|ありません)"
PERHAPS = "may|might|could|should|would|will|can|sollte|könnte|wird|podría|pourrait"  # a guess, as `may be the best`
WISHES = "(?:try|trying|need|want|hope for|aim for|look for|search for)(?: (?:a|an|the|something|for))*"
CONDITIONS = (
    "if|whether|maybe|perhaps|possibly|ob|vielleicht|quizás|peut-être|也许|可能|是否|もし"  # near a clause's start
)
ORDINALS = {"second": 2, "2nd": 2, "third": 3, "3rd": 3, "zweit": 2, "dritt": 3}
OF_OTHERS = "(?:than|below|behind|under|to|of|from|near|among|against|beside)(?: (?:the|our|my))?"  # `than the best`
EVERY_OTHER = "than (?:all|any|every|everything|ever|the (?:others|rest))"
CHANCE = "than (?:chance|random|guessing)"
NOUNS = (
    "loss(?:es)?|variance|spread|sd|memory|time|cost|speed|resolution"
    "|epochs?|folds?|seeds?|checkpoints?|practices?|guess|class(?:es)?|images?|queries|query|of (?:both|two)"
)
GENERAL = ("model", "recipe", "method", "metric", "score", "config", "runs", "run")  # keys that also name a whole run
EXCEPT = "except(?: for)?|but|apart from|other than|besides|außer|bis auf"
SAME = "unchanged|unverändert|nothing (?:was |has )?changed|(?:the )?same|identical"
CHANGED = "changed|differs?|different|modified|geändert"
AUXILIARY = "(?:(?:was|were|is|are|has|have|been|wurden?|ist|sind) ){0,2}"
ONLY_BEFORE = rf"(?:only|just|nur) (?:the |der |die |das )?(.+?) {AUXILIARY}(?:{CHANGED})"
ONLY_AFTER = r"(?:changed|changes|modified|differs? in|differs? by) (?:only|just) (?:the )?(.+)"


def pattern(words: tuple[str, str] | str) -> re.Pattern[str]:
    """A pattern of whole words of Latin script, and of words of scripts without spaces."""
    latin, others = (words, "") if isinstance(words, str) else words
    return re.compile(rf"{START}(?:{latin}){END}" + (f"|(?:{others})" if others else ""), re.IGNORECASE)
