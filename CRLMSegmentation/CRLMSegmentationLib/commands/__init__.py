"""The commands of `crlm-seg`. Heavy imports stand inside them, so that --help and info answer at once."""

from .app import app
from .information import info
from .models import evaluate, model, pack
from .recordings import reconstruct, record, recover, replay
from .segmenting import demo, phantom, segment

for _command in (demo, replay, record, recover, reconstruct, segment, phantom, evaluate, pack, info):
    app.command()(_command)
app.add_typer(model, name="model")
