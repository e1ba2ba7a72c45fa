"""Draining: does anything still need an epoch's record key?"""
