"""OpenAI's Responses with its image tool."""
