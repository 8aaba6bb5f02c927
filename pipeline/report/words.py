"""Numbers as the page writes them."""

TIMES = "\N{MULTIPLICATION SIGN}"


def short(number: float) -> str:
    """Write a number with three digits."""
    if number == 0:
        return "0"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def duration(seconds: float) -> tuple[str, str]:
    """Return a number and its unit: seconds, minutes or hours."""
    if seconds < 120:
        return short(seconds), "s"
    return (short(seconds / 60), "min") if seconds < 7200 else (short(seconds / 3600), "h")


def counted(number: int, thing: str) -> str:
    """Write a number of things, as in "1 image" and "3 images"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
