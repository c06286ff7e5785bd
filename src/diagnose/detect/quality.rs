//! Bad quality that lasts, named by what the status says (OPC UA Part 4, 7.39; Part 8, 6.3).

use super::{Detector, Evidence, Finding, Judgement, Severity, Subject, Verdict};
use crate::model::Quality;

/// The detector.
pub(super) const QUALITY: Detector = Detector {
    name: "quality",
    finds: "samples that are Bad, and stay so",
    verdicts: &[Verdict::UnitDead, Verdict::BadAddress, Verdict::NeverRead, Verdict::BadQuality],
    setting: "seconds it must last",
    usual: 5.0,
    evidence_min: 1,
    is_beside_others: false,
    judge,
};

/// The status without its info bits: nothing came from the device.
const SILENT: [u32; 4] = [0x8005_0000, 0x800A_0000, 0x8031_0000, 0x808A_0000];
/// The device has no such address, or refuses it; a tag that is refused again and again is set
/// aside.
const REFUSED: [u32; 9] = [
    0x8033_0000,
    0x8034_0000,
    0x8035_0000,
    0x803A_0000,
    0x803C_0000,
    0x803D_0000,
    0x8074_0000,
    0x8089_0000,
    0x808D_0000,
];

fn judge(subject: &Subject<'_>, lasting_s: f64) -> Judgement {
    let signal = subject.signal;
    let Some(newest) = signal.newest else { return Judgement::NotEvaluated("no sample") };
    let Some(since) = signal.bad_since else { return Judgement::Nothing };
    #[allow(clippy::cast_precision_loss, reason = "seconds to a millisecond")]
    let lasted_s = subject.now.millis_since(since) as f64 / 1000.0;
    if lasted_s < lasting_s {
        return Judgement::Nothing;
    }
    let verdict = verdict(newest.quality);
    let next = match verdict {
        Verdict::UnitDead => "otctl endpoint status, then check power and cable of the unit",
        Verdict::BadAddress => "otctl tag find TAG, and hold its ref against the device's list",
        _ => "otctl why TAG",
    };
    let shown = signal.bad_samples();
    Judgement::Found(Finding {
        verdict,
        severity: Severity::High,
        since,
        evidence: Evidence::new(("seconds of Bad quality", lasted_s, lasting_s), shown),
        next,
    })
}

fn verdict(quality: Quality) -> Verdict {
    let status = quality.status() & 0xFFFF_0000;
    match () {
        () if SILENT.contains(&status) => Verdict::UnitDead,
        () if REFUSED.contains(&status) => Verdict::BadAddress,
        () if status == Quality::BAD_WAITING_FOR_INITIAL_DATA.status() => Verdict::NeverRead,
        () => Verdict::BadQuality,
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::{sample, window};
    use super::super::testing::subject;
    use super::super::{Signal, Subject};
    use super::*;
    use crate::model::{Timestamp, Value};

    fn judged(qualities: &[Quality], now: i64) -> Judgement {
        let mut window = window(&[1.5, 2.5]);
        for (second, quality) in (2..).zip(qualities) {
            window.push(sample(second, Value::Null, *quality));
        }
        let signal = Signal::of(&window);
        QUALITY.judge(&Subject { now: Timestamp::from_millis(now * 1000), ..subject(&signal) })
    }

    #[test]
    fn the_status_names_what_is_wrong_and_since_when() {
        for (quality, verdict) in [
            (Quality::BAD_NO_COMMUNICATION, Verdict::UnitDead),
            (Quality::BAD_CONFIGURATION_ERROR, Verdict::BadAddress),
            (Quality::BAD_OUT_OF_SERVICE, Verdict::BadAddress),
            (Quality::BAD_NODE_ID_UNKNOWN, Verdict::BadAddress),
            (Quality::BAD_DEVICE_FAILURE, Verdict::BadQuality),
            (Quality::BAD_WAITING_FOR_INITIAL_DATA, Verdict::NeverRead),
        ] {
            let judgement = judged(&[quality; 3], 20);
            let finding = judgement.finding().unwrap();
            assert_eq!((finding.verdict, finding.since.millis()), (verdict, 2000));
            assert_eq!(finding.evidence.sample_count, 3);
        }
    }

    #[test]
    fn what_is_short_or_over_is_nothing() {
        assert_eq!(judged(&[Quality::BAD], 4), Judgement::Nothing);
        assert_eq!(judged(&[Quality::BAD, Quality::GOOD], 100), Judgement::Nothing);
        assert_eq!(judged(&[], 100), Judgement::Nothing);
    }
}
