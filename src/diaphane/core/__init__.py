"""The words that every room shares. Needs numpy only."""
