"""A faithful stand-in for GitHub sign-in, GitHub REST and the Copilot API, as a separate process on real sockets.

Run it with ``python -m tests.simulator``; drive it from tests with :class:`tests.simulator.client.Simulator`.
Section numbers in the docstrings of this package refer to the wire contract of the Copilot upstream API that the
project keeps.
"""
