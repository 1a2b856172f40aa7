"""Named client keys beside API_KEY: who has one, what it may do, and how much of the subscription it may use."""
