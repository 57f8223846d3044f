"""Credentials that change: fetched in a thread, held while they last, one fetch for all who wait."""
