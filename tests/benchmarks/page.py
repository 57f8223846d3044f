"""The part of a page that a command writes."""

from pathlib import Path


def write(page: Path, name: str, text: str) -> None:
    """Put the text between the page's marks of that name; a page that is not there yet becomes the text.

    Raises:
        ValueError: The page has no such marks.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    if not page.exists():
        page.write_text(f"{begin}{text}\n{end}")
        return
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no lines '{begin.strip()}' and '{end.strip()}' to write between")
    page.write_text(f"{before}{begin}{text}\n{end}{after}")
