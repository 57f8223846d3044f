"""What the vendors publish: the types of what goes in and what comes out, a module for each provider.

The types are those of their SDKs, held strictly. What their SDKs no longer have, or never had, is written down in the
provider's module with the page that says so. A provider's module has its name, with `_` for `-`, and:

- `check_sent(kind, url, body)`: accept a body that the API takes at this address.
- `check_answered(kind, url, body)`: accept an answer of the API; `check_event(kind, url, data)` an event of its stream.
- `check_error(status, body)`: accept the body of an error.
- `fold_events(events)`, where the SDK can: the answer that it makes of a stream's events.
- `ADDS`, where there is something: keys that the provider's answers have beyond OpenAI's types once they are ours.
"""

from importlib import import_module
from typing import Any


def of(provider: str) -> Any:
    """The module of a provider."""
    return import_module(f"{__name__}.{provider.replace('-', '_')}")
