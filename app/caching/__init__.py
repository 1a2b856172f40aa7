"""Why a prompt's cache was lost: which part of the prefix changed first, and by whom."""
