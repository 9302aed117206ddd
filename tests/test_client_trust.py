"""The C client: folders and users that are not to be trusted."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from fake_server import (
    LOCAL_STATUS,
    Desk,
    needs_client,
)

pytestmark = needs_client
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can play another user")
NOBODY = 65534


@pytest.mark.parametrize("which", ["root", "folder"])
@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o702])
def test_a_folder_that_others_may_enter_is_refused(which: str, mode: int, desk: Desk) -> None:
    folder = desk.prepare() if which == "folder" else desk.prepare().parent
    folder.chmod(mode)
    with desk.server():
        folder.chmod(mode)
        answer = desk("list")
    assert answer.status == LOCAL_STATUS
    assert answer.errors.startswith(f"rekall: {folder} ") and f"chmod 700 {folder}" in answer.errors


@pytest.mark.parametrize("which", ["root", "folder"])
@pytest.mark.parametrize("what", ["link", "file", "dangling"])
def test_a_link_or_a_file_in_place_of_a_folder_is_refused(which: str, what: str, desk: Desk) -> None:
    folder = desk.prepare() if which == "folder" else desk.prepare().parent
    if what == "file":
        shutil.rmtree(folder)
        folder.write_text("")
    else:
        folder.rename(desk.folder / "elsewhere")
        folder.symlink_to(desk.folder / ("elsewhere" if what == "link" else "nowhere"))
    answer = desk("list")
    assert answer.status == LOCAL_STATUS
    assert answer.errors.startswith(f"rekall: {folder} is a link or a file"), answer.errors
    assert answer.errors.count("\n") == 1


@as_root
@pytest.mark.parametrize("which", ["root", "folder"])
def test_a_folder_of_another_user_is_refused(which: str, desk: Desk) -> None:
    folder = desk.prepare() if which == "folder" else desk.prepare().parent
    os.chown(folder, NOBODY, NOBODY)
    answer = desk("list", env={"LC_ALL": "fr_FR.UTF-8"})
    assert answer.status == LOCAL_STATUS
    assert answer.errors.startswith(f"rekall: {folder} appartient à l'utilisateur {NOBODY}")


@as_root
def test_a_server_of_another_user_is_told_nothing(desk: Desk) -> None:
    def listen_as_nobody(listener: socket.socket) -> None:
        code = f"import os, socket; os.setuid({NOBODY}); socket.socket(fileno={listener.fileno()}).listen(100)"
        done = subprocess.run([sys.executable, "-IS", "-c", code], pass_fds=[listener.fileno()])
        assert done.returncode == 0

    with desk.server(lambda client: client.expect_end(), during=listen_as_nobody):
        answer = desk("list")
    assert answer.status == LOCAL_STATUS
    assert answer.errors.startswith(f"rekall: {desk.socket}: another user's process")


def test_a_stale_socket_and_a_file_in_its_place_are_no_obstacle(desk: Desk) -> None:
    desk.install_server()
    desk.prepare()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(desk.socket))
    assert desk("list").output == "warm\n"
    os.kill(desk.starts()[0], signal.SIGKILL)
    desk.socket.unlink()
    desk.socket.write_text("")
    assert desk("list").output == "warm\n"


def test_a_start_lock_that_is_a_link_is_not_followed(desk: Desk) -> None:
    desk.install_server()
    (desk.prepare() / "start.lock").symlink_to(desk.folder / "made-by-mistake")
    assert desk("list").status == LOCAL_STATUS
    assert not (desk.folder / "made-by-mistake").exists() and desk.starts() == []
