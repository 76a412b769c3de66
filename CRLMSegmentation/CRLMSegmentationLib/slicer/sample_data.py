"""The shipped simulated cases in the module Sample Data; imports little, for 3D Slicer is starting."""

from __future__ import annotations

from ..core.json_files import read_json
from ..core.resources import PACKAGE_ROOT, resource_path

SAMPLES = ("phantom-hypoechoic", "phantom-isoechoic", "phantom-several")


def register_sample_data() -> None:
    """Offer the volumes of the shipped cases for loading."""
    import SampleData  # type: ignore[import-not-found]  # a module of 3D Slicer

    for name in SAMPLES:
        folder = resource_path("SampleCases", name)
        case = read_json(folder / "case.json")
        volume = case["volumes"][0]["file"]
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="CRLMSegmentation",
            sampleName=f"CRLM-{name}",
            uris=(folder / volume).as_uri(),
            fileNames=f"{name}.nrrd",
            nodeNames=name,
            checksums=f"SHA256:{case['files'][volume]}",
            thumbnailFileName=str(PACKAGE_ROOT / "Resources" / "Icons" / f"{name}.png"),
        )
