"""Real clients, unmodified and headless, against bridge and simulator: ``make e2e``.

They start from what ``flask --app wsgi configure`` wrote, and are pinned in ``npm/`` and ``pip/``.
"""
