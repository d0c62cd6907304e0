"""Chat completions, as OpenAI, OpenRouter, RouteLLM and vLLM-Omni speak them.

The turns of a conversation are here too; Responses and Gemini share them.
"""
