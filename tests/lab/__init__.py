"""Tests with real traffic, inside of labs."""
