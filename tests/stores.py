"""A file system of its own for an image store, that can be full, read-only and unmounted, without being root for it."""

from __future__ import annotations

import subprocess
from pathlib import Path


class MountedStore:
    """A tmpfs in a mount namespace, which a process of ours holds; it is seen from outside through that one's root."""

    def __init__(self, folder: Path, size: str = "64m") -> None:
        self._disk, self._mount = folder / "disk", folder / "store"
        self._disk.mkdir(parents=True)
        self._mount.mkdir()
        self._holder = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "unshare", "--map-root-user", "--mount", "sh", "-euc"),
                'mount -t tmpfs -o "size=$2" none "$1"; echo mounted; exec sleep infinity',
                *("sh", str(self._disk), size),
            ],
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n"
        root = Path(f"/proc/{self._holder.pid}/root")
        self.path = root / self._mount.relative_to("/")
        """Where the store is, while it is mounted."""
        self.disk = root / self._disk.relative_to("/")
        """Its content, whether it is mounted or not."""
        self.mount()

    def mount(self) -> None:
        self._do("mount", "--bind", str(self._disk), str(self._mount))

    def unmount(self) -> None:
        """Leaves the folder on which it was mounted, as an unmounted NFS server does."""
        self._do("umount", "--lazy", str(self._mount))

    def set_read_only(self, read_only: bool) -> None:
        self._do("mount", "-o", f"remount,bind,{'ro' if read_only else 'rw'}", str(self._mount))

    def resize(self, size: str) -> None:
        self._do("mount", "-o", f"remount,size={size}", str(self._disk))

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()

    def _do(self, *command: str) -> None:
        entered = (
            "nsenter",
            "--target",
            str(self._holder.pid),
            "--user",
            "--preserve-credentials",
            "--mount",
            *command,
        )
        done = subprocess.run(entered, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
