"""OpenAI's Images API: generations and edits."""
