"""ONNX Runtime, silenced: its wheels collect telemetry from the moment they are imported."""

from __future__ import annotations

import os
from typing import Any


def onnx_runtime() -> Any:
    """The module ``onnxruntime``, imported so that it writes and sends nothing of its own.

    From 1.32 on, its wheel for Linux keeps a device id and a database of events below ``~/.cache``
    and sends them to its maker, unless this variable is set before it is imported.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # where a program had imported it before
    return onnxruntime
