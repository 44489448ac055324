"""The seven layers of Nacre and what they stand on; imported by `app`, never importing it."""
