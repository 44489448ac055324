"""What leaves the platform: signed events to addresses that others named, and to nowhere else.

Stands beside the API, over the record of webhooks. `destinations` judges where an address leads, `posting`
makes one request to a checked address, `sender` works the queue off. It never follows where it was not sent.
"""
