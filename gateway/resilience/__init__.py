"""What keeps one failure from spreading. Knows nothing of hooks or HTTP; imports nothing but `errors`."""
