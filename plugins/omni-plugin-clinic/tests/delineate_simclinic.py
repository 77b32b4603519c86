"""Reads made recordings with openecg; a line each: e, asked rate, PR and QRS, read rate, PR, QRS, RR spread, rhythm.

Run by test_simclinic_real.py as delineate_simclinic.py FOLDER_OF_OPENECG WHEEL_OF_DEEPFAKE_ECG.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni_plugin_clinic.latents import RHYTHMS
from omni_plugin_clinic.simulation import heartbeat, pulse, rhythm

EACH = 16
READ_LEADS = (0, 1, 2, 5, 6)
NAMES = {"sinus": 0, "avb": 1, "bbb": 2, "afib": 3}


def main() -> None:
    """EACH recordings of ten seconds for every rhythm."""
    sys.path.insert(0, sys.argv[1])
    import openecg
    from openecg.deploy import OnnxCodec

    codec = OnnxCodec()
    network = pulse.load_generator(Path(sys.argv[2]))
    made = (heartbeat.take_beat(pulse.generate(network, "delineator", number)) for number in range(4 * EACH))
    beats = [beat for beat in made if beat is not None][:EACH]
    for e in range(len(RHYTHMS)):
        for number, beat in enumerate(beats):
            rng = CounterRng("delineator", e, number)
            setting = rhythm.draw_setting(number % 2, e, rng)
            signal_CT = rhythm.make_recording(beat, setting, rng, seconds=10) / 1000.0
            read = [openecg.report(signal_CT[lead], fs=pulse.SAMPLE_RATE, model=codec) for lead in READ_LEADS]
            pr, qrs = (  # a QRS complex is as wide as in the lead where it is widest
                pick([found for item in read if (found := item.intervals_ms.get(key))] or [np.nan])
                for key, pick in (("pr", np.median), ("qrs_duration", max))
            )
            second = read[1]
            row = (
                e, setting.rate, setting.pr_ms or np.nan, setting.qrs_ms, second.heart_rate["bpm"], pr, qrs,
                second.heart_rate["rr_cv"], NAMES.get(second.rhythm["label"], -1),
            )  # fmt: skip
            print(*row)


if __name__ == "__main__":
    main()
