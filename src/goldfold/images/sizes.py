"""Sizes of images: one number for a square, or height and width, in pixels."""

from __future__ import annotations

Size = int | tuple[int, int]


def height_and_width(size: Size) -> tuple[int, int]:
    """Return both sides.

    >>> height_and_width(224), height_and_width((256, 128))
    ((224, 224), (256, 128))
    """
    return (size, size) if isinstance(size, int) else size


def area(size: Size) -> int:
    """Return the number of pixels."""
    height, width = height_and_width(size)
    return height * width


def as_text(size: Size) -> str:
    """Return height and width for a message: 256 x 128."""
    return "{} x {}".format(*height_and_width(size))
