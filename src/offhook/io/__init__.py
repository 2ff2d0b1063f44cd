"""The shell: the only room with asyncio, sockets, clocks, randomness, devices, threads and processes."""
