"""Numbers of a run as people read them."""


def duration(seconds: float) -> str:
    """As "45 s", "3:05 min", "2:10 h" or "3 d 4 h": two figures are enough."""
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
    """As "0.05", "3.2" or "480": three figures at most below a thousand."""
    if millions < 1:
        return f"{millions:.2f}"
    return f"{millions:.1f}" if millions < 100 else f"{millions:,.0f}"


def counted(number: int, thing: str) -> str:
    """As "1 image" or "3 images"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def kinds(failed_by: dict[str, int]) -> str:
    """As "2 missing, 1 corrupt", the most frequent first."""
    return ", ".join(f"{number} {kind}" for kind, number in sorted(failed_by.items(), key=lambda item: -item[1]))
