"""What holds for an account as a whole: how many calls at a time, what Copilot said of limits, and a brake."""
