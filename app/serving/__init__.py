"""The service as a process: gunicorn with a worker that stops politely and a master that can read settings anew."""
