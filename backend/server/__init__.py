"""Jobs: the socket's front, the queue and the worker process."""
