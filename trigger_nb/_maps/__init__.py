"""`io.map` and `io.imap`: one task for each of thousands of items."""
