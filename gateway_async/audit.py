"""The line that a change leaves in the audit log, whatever is changed."""

from gateway_async.call import Caller
from gateway_async.stores.base import AuditEntry

COMMAND_LINE = Caller(key="command line", admin=True)
"""Who changes a store without a gateway between."""


def change_entry(action: str, target: str, by: Caller, detail: str = "") -> AuditEntry:
    """The line for a change that is about to be made.

    Args:
        action: What is done: `route.create`, `key.revoke`.
        target: The name of the route or the key.
        by: Who does it; without a key it is the process itself.
        detail: What changes, in a sentence, without any key.
    """
    return AuditEntry(
        action=action,
        target=target,
        actor=by.key or "in-process",
        address=by.address,
        request_id=by.request_id,
        detail=detail,
    )
