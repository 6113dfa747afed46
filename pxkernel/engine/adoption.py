"""What a kernel that runs already tells a controller, and whether it runs something just now."""

from __future__ import annotations

from typing import Any

from ipykernel.connect import get_connection_file, get_connection_info


def runs_a_cell(kernel: Any) -> bool:
    """Whether this is called from a cell and not while the kernel starts, when there has been no request yet."""
    try:
        return bool(kernel.shell.get_parent())
    except LookupError:
        return False


def connection_info() -> dict[str, Any]:
    """Where this kernel listens; its values are JSON."""
    info = get_connection_info(unpack=True)
    key = info.get("key", b"")
    connection = {name: info[name] for name in info if name.endswith("_port")}
    return {
        **connection,
        "ip": info["ip"],
        "transport": info.get("transport", "tcp"),
        "key": key.decode() if isinstance(key, bytes) else key,
        "signature_scheme": info.get("signature_scheme", "hmac-sha256"),
        "connection_file": get_connection_file(),
    }
