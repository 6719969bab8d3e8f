"""Load YAML within bounds: a small text must not become a large value, nor a value that holds itself."""

from __future__ import annotations

from typing import Any

import yaml

MOST_VALUES = 100_000  # with every alias written out
DEEPEST = 50  # lists and mappings inside each other


def load(text: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Load one YAML document.

    Raises:
        yaml.YAMLError: it is not valid, too deeply nested, too large once its aliases are written out, or refers to
            itself.
    """
    reading = loader(text)
    try:
        node = reading.get_single_node()
        if node is None:
            return None
        _count(node, {}, ())
        return reading.construct_document(node)
    except RecursionError:
        raise _too_deep() from None
    except (ValueError, OverflowError) as error:  # dates and numbers that do not exist
        raise yaml.YAMLError(str(error)) from error
    finally:
        reading.dispose()


def _count(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """The number of values of a node, with every alias written out."""
    if id(node) in above:
        raise yaml.YAMLError("it has an alias to a value that holds the alias")
    if len(above) > DEEPEST:
        raise _too_deep()
    if id(node) not in known:
        inside = (*above, id(node))
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        nodes = [each for part in parts for each in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_count(each, known, inside) for each in nodes)
    if known[id(node)] > MOST_VALUES:
        raise yaml.YAMLError(f"it has more than {MOST_VALUES:,} values with its aliases written out")
    return known[id(node)]


def _too_deep() -> yaml.YAMLError:
    return yaml.YAMLError(f"its lists and mappings are nested more than {DEEPEST} deep")
