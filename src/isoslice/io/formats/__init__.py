"""One package or module a format; `io.reading` and `io.writing` choose among them."""
