"""Shipped for tests, ours and yours: exams for stores and transports, a fake integration server, a manual clock."""
