"""The commands of `crlm-seg`. Heavy imports stand inside them, so that --help and info answer at once."""

from .app import app
from .information import info
from .recordings import reconstruct, record, recover, replay
from .segmenting import demo, phantom, segment

for _command in (demo, replay, record, recover, reconstruct, segment, phantom, info):
    app.command()(_command)
