"""The neutral vocabulary in which protocols meet, and what holds for it whatever the protocol."""
