"""The loop that Daphne makes when it is imported, and installs Twisted's reactor on: uvloop's.

Import it before daphne.server. Readers, writers, timers and tasks are C there: an empty answer costs
an eighth less CPU than on asyncio's own loop.
"""

import asyncio

import uvloop

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
