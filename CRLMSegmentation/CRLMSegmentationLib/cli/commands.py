"""The commands of `crlm-seg`. Heavy imports stand inside the functions, so that --help answers at once."""

from .app import app
from .calibrate import calibrate
from .clicks import OrderedCommand
from .demo import demo
from .evaluate import evaluate
from .info import info
from .model import model
from .pack import pack
from .phantom import phantom
from .prepare import prepare
from .reconstruct import reconstruct
from .record import record
from .recover import recover
from .replay import replay
from .report import report
from .rerun import rerun
from .segment import segment
from .serve import serve
from .study import study
from .train import train

__all__ = ["app"]

for _command in (
    demo,
    replay,
    record,
    recover,
    reconstruct,
    rerun,
    report,
    phantom,
    prepare,
    train,
    evaluate,
    calibrate,
    pack,
    study,
    serve,
    info,
):
    app.command()(_command)
app.command(cls=OrderedCommand)(segment)
app.add_typer(model, name="model")
