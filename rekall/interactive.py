"""The apps that draw on a terminal, and the two places where they run: behind a connection, or in this process.

prompt_toolkit is imported with this module, and only when an app is asked for.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from rekall.config import Config
from rekall.desk import Desk
from rekall.door import remember
from rekall.picker import pick
from rekall.protocol import Request, Response
from rekall.repl import repl
from rekall.rooms import Rooms
from rekall.screens import LocalScreen, RemoteScreen, Screen, drawing_on

APPS = {"pick": pick, "repl": repl}
remote_screen = RemoteScreen


async def run(request: Request, response: Response, screen: Screen, desk: Desk) -> None:
    """Let the app that `request` names run until it is left, and put what was chosen into `response`."""
    with drawing_on(screen):
        await APPS[request.command](request, response, screen, desk)


def run_here(request: Request, response: Response, config: Config) -> None:
    """Run an app on this process's own terminal. Raises UsageError where there is none."""
    screen = LocalScreen(request.env)
    rooms, threads = Rooms(config), ThreadPoolExecutor(2)
    try:
        asyncio.run(run(request, response, screen, Desk(request, rooms.lend, threads)))
        response.flush()
        remember(request, response.picked, rooms.lend)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        rooms.close()
        screen.close()
