"""Faults of Copilot and GitHub, met by the official SDKs: ``make chaos``.

Each row of the table is a fault (`faults.py`), played byte by byte on a raw socket in the place of Copilot or GitHub.
It meets every way through the bridge: three dialects, natively and converted from either of the other two protocols, as
a whole answer and as a stream. Such a *cell* is one call of an official SDK (openai-python, anthropic-python) without
retries, and after it one plain call on the same bridge, on whatever connections the fault has left. What may come of a
cell:

right         the complete right answer: every word, every tool call once, the right finish reason
proper error  the SDK's normal exception (in a Responses stream: the event that ends it), its status fits the fault
wrong error   an exception of the SDK that the fault does not call for: a wrong status, a torn connection
lie           an answer that looks finished and is not the right one: cut, doubled, another request's
hang          nothing within the limit
500           the bridge calls it a bug of its own, to the client or in its log
broken after  the plain call after it was not answered rightly

All but the first two must be zero, or the command fails. Nothing is left to chance: a fault is a script, and each lane
(an upstream, a bridge, its SDKs) meets one cell after the other.

``--pairs 300 --seed 7`` has cells meet two faults by chance, the second when the bridge tries again.

The answers that are spoilt are those of the simulator (`answers.py`), word for word.
"""
