"""The ledger: every call to a model, what it took and what it cost. Nothing of prompts or answers is in it.

A call is noted when its answer has ended (`books`), made a `Booking` behind everybody's back, and written in batches
(`entries`): one row for each call, and the sums of its day, both in one transaction.
"""
