"""Numbers of a run, formatted for people."""


def duration(seconds: float) -> str:
    """Format seconds as "45 s", "3:05 min", "2:10 h" or "3 d 4 h", with two figures."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60}:{minutes % 60:02d} h"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def pixels(millions: float) -> str:
    """Format millions of pixels as "0.0144", "0.52", "3.2" or "480": a slow run, too, has a pace to be seen."""
    if millions < 0.1:
        return f"{millions:.4f}".rstrip("0").rstrip(".")
    if millions < 1:
        return f"{millions:.2f}"
    return f"{millions:.1f}" if millions < 100 else f"{millions:,.0f}"


def counted(number: int, thing: str) -> str:
    """Format a number of things as "1 image" or "3 images"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def kinds(failed_by: dict[str, int]) -> str:
    """Format counts as "2 missing, 1 corrupt", the most frequent first."""
    return ", ".join(f"{number} {kind}" for kind, number in sorted(failed_by.items(), key=lambda item: -item[1]))
