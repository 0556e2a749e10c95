"""`counterpoise guard serve`."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[Path | None, typer.Option(help="YAML file with policies, limits and more.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 8808 unless the file says another.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; only this machine by default.")] = None,
    fail_open: Annotated[
        bool, typer.Option("--fail-open", help="Let requests pass when a guard is broken. Every one is logged.")
    ] = False,
) -> None:
    """Serve guards: OpenAI's moderation endpoint, LiteLLM's and NeMo's, our own, and a checking proxy.

    Without a file the tiny guard and the keyword list answer on http://127.0.0.1:8808; open it in a browser to try it.
    What a guard could not look at is blocked, and when a guard fails nothing passes, unless --fail-open is given.

    Examples:

    - `counterpoise guard serve`

    - `counterpoise guard serve --config guard.yaml --port 9000`
    """
    from counterpoise.base import require
    from counterpoise.guard.server import read_config

    require("uvicorn", purpose="the guard server", install="counterpoise[serve]")
    settings = read_config(config, port=port, host=host, fail_open=fail_open or None)
    from counterpoise.guard.server import check_address, configure_logs, create_app, run_server

    check_address(settings)
    configure_logs()
    app = create_app(settings)
    typer.echo(f"http://{settings.host}:{settings.port}  policies: {', '.join(settings.policies)}")
    run_server(app, settings)
