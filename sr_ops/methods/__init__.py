"""Methods that enlarge an image without a network of srpipe's own; each file holds one as its METHOD."""
