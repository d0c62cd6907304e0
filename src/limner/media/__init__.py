"""Pictures at the edge: decoding what strangers send, masks, encoding what is sent back, fetching URLs safely."""
