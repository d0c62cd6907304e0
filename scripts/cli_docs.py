"""Writes docs/cli.md: what is said by hand here, what can be read from the commands themselves from them."""

from pathlib import Path

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup

from limner.cli.app import app
from limner.cli.exits import MEANINGS

HEADER = """# The command line

`limner COMMAND --help` says the same as this page. Scripts can rely on it: commands, options, exit codes and what goes
to stdout stay as they are.

- **stdout** gets the result and nothing else: the paths of the files written, one a line, with `-o -` the picture
  itself, or the list asked for.
- **stderr** gets the rest: a progress bar where it is a terminal, then one line with the values really used
  (`model=sketch size=256x256 seed=7 ...`), warnings about what was not done as asked, and errors as one line each.
- `--server` and `--api-key` may stand in the environment as `LIMNER_SERVER` and `LIMNER_API_KEY`. Without a server,
  `generate`, `edit` and `describe` (with `reader`) load the model, run it in the same process and let go of it again;
  the server's [settings](settings.md) in the environment (`LIMNER_DEVICE`, ...) count there too.

```console
$ limner generate "a red circle" -o circle.png
$ limner generate "a red circle" -n 4 -o circle.webp --seed 1 --steps 8
$ limner edit circle.png "make it blue" -o blue.png
$ limner edit room.png "a window" --mask wall.png --server http://127.0.0.1:8000
$ limner serve Qwen/Qwen-Image Tongyi-MAI/Z-Image-Turbo --port 9000
```

`keys` and `usage` work on the database of the settings (`--config`, `--data`, `LIMNER_DATABASE`), whether or not a
server is running; [Accounts](accounts.md) says more.

```console
$ KEY=$(limner keys create alice --rate 30 --credits 100)
$ limner usage --since 2026-11-01
```

`jobs` asks the server, of which a key sees its own; without `--server`, or with `--data` or `--config`, it looks into
the database.

```console
$ limner jobs list --status running --status queued
$ limner jobs show job_5c0e... --wait --server http://127.0.0.1:8000
```

With `-o out.png -n 3` the files are `out_0.png`, `out_1.png` and `out_2.png`, in the order of their seeds. Files that
exist are replaced. The format is that of the name's ending (`.png`, `.jpg`, `.jpeg`, `.webp`) unless `--format` says
otherwise.

## Exit codes

| code | meaning |
|---|---|
"""


def render() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    codes = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    return HEADER + codes + "\n" + _sections(root, "limner")


def _sections(group: TyperGroup, path: str) -> str:
    """One section a command; of a group of commands one for each of them."""
    return "".join(
        _sections(command, f"{path} {name}") if isinstance(command, TyperGroup) else _section(f"{path} {name}", command)
        for name, command in group.commands.items()
    )


def _section(name: str, command: object) -> str:
    """A command's heading, usage line and table of arguments and options."""
    assert isinstance(command, TyperCommand)
    usage, rows = [name], []
    for param in command.params:
        help_text = getattr(param, "help", None) or ""
        if isinstance(param, TyperArgument):
            shown = f"{param.metavar}..." if param.nargs == -1 else str(param.metavar)
            usage.append(shown if param.required else f"[{shown}]")
        else:
            shown = " ".join((", ".join(sorted(param.opts, key=len)), param.metavar or "")).strip()
        rows.append(
            f"| `{shown}` | {help_text} |".replace("png|jpeg", "png\\|jpeg").replace("jpeg|webp", "jpeg\\|webp")
        )
    if any(not isinstance(param, TyperArgument) for param in command.params):
        usage.append("[OPTIONS]")
    table = "\n| | |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return f"\n## {name}\n\n{command.help}\n\n    {' '.join(usage)}\n{table}"


if __name__ == "__main__":
    (Path(__file__).parent.parent / "docs" / "cli.md").write_text(render(), encoding="utf-8")
