"""What the demonstration lap runs on: a slow local source of documents and questions about them.
It feeds the loop real work; it is never imported by a platform that serves anybody else.
"""
