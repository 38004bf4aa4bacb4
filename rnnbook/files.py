"""Writing files so that a reader never sees half of one."""

import os
import uuid
from pathlib import Path


def write_atomically(path, data):
    """Write ``data`` (bytes) beside ``path`` and rename: the old file stays until the new is whole.

    Raises
    ------
    OSError
        If the folder does not exist or the disk is full; what stood at ``path`` is untouched.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
