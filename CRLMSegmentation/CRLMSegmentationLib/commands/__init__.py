"""The commands of `crlm-seg`. Heavy imports stand inside them, so that --help and info answer at once."""

from .app import app
from .calibrating import calibrate
from .evaluating import evaluate
from .information import info
from .models import model, pack
from .preparing import prepare
from .recordings import reconstruct, record, recover, replay
from .reporting import report
from .rerunning import rerun
from .segmenting import demo, phantom, segment
from .studying import study
from .training import train

for _command in (
    demo,
    replay,
    record,
    recover,
    reconstruct,
    rerun,
    report,
    segment,
    phantom,
    prepare,
    train,
    evaluate,
    calibrate,
    pack,
    study,
    info,
):
    app.command()(_command)
app.add_typer(model, name="model")
