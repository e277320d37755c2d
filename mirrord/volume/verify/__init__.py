"""Comparing a pair in sync while it runs; nothing is repaired."""
