"""How much goes on at once, and how often something begins."""
