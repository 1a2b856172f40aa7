"""Who may call us, and who we are to GitHub and Copilot."""
