"""``flask doctor``: looks at everything that must be right, one module per subject, and says what to do about it."""
