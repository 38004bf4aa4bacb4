"""Writing files so that a reader never sees half of one."""

import contextlib
import os
import shutil
import uuid
from pathlib import Path


def write_atomically(path, data):
    """Write ``data`` (bytes) beside ``path`` and rename: the old file stays until the new is whole.

    The new file has the permissions of the old one. Where ``path`` is a link, it stays one.

    Raises
    ------
    OSError
        If the folder does not exist or the disk is full; what stood at ``path`` is untouched.
    """
    path = Path(os.path.realpath(path))
    beside = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex}.part")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):  # the first of its name, or just removed
            shutil.copymode(path, beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
