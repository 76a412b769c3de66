"""The commands of `crlm-seg`. Heavy imports stand inside them, so that --help and info answer at once."""

from .app import app
from .information import info
from .recordings import replay
from .segmenting import demo, phantom, segment

for _command in (demo, replay, segment, phantom, info):
    app.command()(_command)
