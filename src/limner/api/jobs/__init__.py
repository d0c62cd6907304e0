"""``/v1/jobs``: accept, wait, list, follow, cancel."""
