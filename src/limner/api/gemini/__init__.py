"""Google's image APIs: Gemini's ``generateContent``, Imagen's ``predict``, and what their SDKs ask beside them."""
