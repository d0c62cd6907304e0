"""Writes docs/settings.md from the settings themselves."""

from pathlib import Path

from limner.config import Settings

HEADER = """# Settings

Each setting stands in the file given to `limner serve --config FILE` (TOML) under its name, or in the environment as
`LIMNER_` and its name in capitals (lists separated by commas, or as JSON). The command line wins over the environment,
the environment over the file. A name that does not exist stops the start and the nearest one is suggested.

```toml
# limner.toml
models = ["Qwen/Qwen-Image", "./checkpoints/dreamer.safetensors"]
port = 9000
queue_limit = 200
unknown_parameters = "warn"
```

| setting | default | what it does |
|---|---|---|
"""


def render() -> str:
    """The whole page."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = "the user's data directory" if field.default_factory else f"`{default!r}`".replace("'", '"')
        rows.append(f"| `{name}` | {shown} | {field.description} |")
    return HEADER + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent.parent / "docs" / "settings.md").write_text(render(), encoding="utf-8")
