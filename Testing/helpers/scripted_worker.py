"""A worker that behaves as told, for tests of the engine around it: `scripted_worker.py BEHAVIOUR`.

It answers a job with the job's own array, after as many seconds as the job's spacing_mm says.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time

from CRLMSegmentationLib.core.frames import FrameReader, encode


def main(behaviour: str) -> None:
    requests, answers = io.FileIO(0, "r"), io.FileIO(1, "w")
    if behaviour == "dies":
        sys.exit("libcudart.so.99 cannot be opened")
    if behaviour == "rubbish":
        answers.write(b"Using nnU-Net v2 ... please cite\n" * 10)
        time.sleep(60)
    versions = {}
    if behaviour == "has_children":
        versions["child"] = str(subprocess.Popen(["sleep", "300"]).pid)
    send(answers, {"type": "ready", "device": "none", "model_name": "", "model_sha256": "", "warnings": []}, versions)
    reader = FrameReader()
    while True:
        count = requests.readinto(reader.wanted())
        if not count:
            return
        frame = reader.filled(count)
        if frame is None or frame.type != "job":  # deaf to cancels
            continue
        if behaviour == "dies_of_jobs":
            sys.exit(7)
        time.sleep(frame.header["spacing_mm"])
        header = {"type": "finished", "job_id": frame.header["job_id"], "timings_s": {}, "device": "", "warnings": []}
        for part in encode(header, {"probability": frame.arrays()["crop"]}):
            while part:
                part = part[answers.write(part) :]


def send(answers: io.FileIO, header: dict, versions: dict) -> None:
    for part in encode({**header, "versions": versions}):
        answers.write(part)


if __name__ == "__main__":
    main(sys.argv[1])
