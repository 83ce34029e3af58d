"""The client process: python -m spotify_buddies.clients.load.worker."""

import asyncio
import signal

from spotify_buddies.clients.load.worker.process import new_loop, serve

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the command, which ends us
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())
