"""Puts this folder on the path of every test, which finds its shared modules there."""
