"""Every setting, typed, documented, with its default."""
