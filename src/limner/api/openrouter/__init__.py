"""OpenRouter's image API and list of models."""
