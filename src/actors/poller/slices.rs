//! The scan plan at work: when each slice is due, and where its readings go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::condition::Conditioner;
use crate::actors::observed::SliceReport;
use crate::cache::{LastValue, ScanWriter, StreamWriter, TagCache};
use crate::clock;
use crate::driver::{Cadence, Reading, Slice};
use crate::model::{Quality, Sample, Tag, TagId, Timestamp, Value};

/// Slices of one period start this far apart, so that a device gets no burst at the start.
const STAGGER: Duration = Duration::from_millis(20);
/// The real period is averaged over about this many scans.
const REAL_PERIOD_WEIGHT: f64 = 0.2;

/// Where readings go: rows of a scan, or samples on their own.
enum Writer {
    Scan(ScanWriter),
    Stream(StreamWriter),
}

/// One slice of the plan with its place in the cache.
pub(crate) struct SliceState {
    pub(crate) slice: Slice,
    writer: Writer,
    /// When it is to be read next; pushed slices are read when the driver wakes us.
    pub(crate) due: Instant,
    place: HashMap<TagId, usize>,
    conditioners: Vec<Conditioner>,
    row: Vec<(Value, Quality)>,
    /// The device's own times of the row.
    sources: Vec<Option<Timestamp>>,
    began: Option<Instant>,
    real_ms: Option<f64>,
    scans: u64,
    stretched: u64,
}

impl SliceState {
    /// Makes room for a slice's tags in the cache.
    pub(crate) fn new(slice: Slice, cache: &Arc<TagCache>, nth: u32) -> Self {
        let writer = match slice.cadence {
            Cadence::Polled { .. } => Writer::Scan(cache.scan_group(&slice.tags)),
            Cadence::Followed { .. } | Cadence::Pushed | Cadence::Published => {
                Writer::Stream(cache.stream_group(&slice.tags))
            }
        };
        let place = slice.tags.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let unknown = || Arc::new(Tag::new("", "", ""));
        let conditioners = slice
            .tags
            .iter()
            .map(|id| Conditioner::new(cache.tag(*id).unwrap_or_else(unknown)))
            .collect();
        let due = Instant::now() + STAGGER * nth.min(50);
        let row = Vec::with_capacity(slice.tags.len());
        Self {
            slice,
            writer,
            due,
            place,
            conditioners,
            row,
            sources: Vec::new(),
            began: None,
            real_ms: None,
            scans: 0,
            stretched: 0,
        }
    }

    pub(crate) fn is_pushed(&self) -> bool {
        self.slice.cadence.scan_ms().is_none()
    }

    /// Tells whether each reading is a sample on its own, and not a cell of a row.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self.writer, Writer::Stream(_))
    }

    /// Notes that a scan begins, and when the next one is due.
    ///
    /// A scan that comes a whole period late is counted, and the periods it missed are not
    /// made up for.
    pub(crate) fn begin(&mut self, now: Instant) {
        let Some(scan_ms) = self.slice.cadence.scan_ms() else { return };
        let period = Duration::from_millis(u64::from(scan_ms));
        let before = self.began.replace(now);
        // The first scan after an outage is late, and not for want of budget.
        let is_running = before.is_some();
        if let Some(before) = before {
            let ms = now.duration_since(before).as_secs_f64() * 1000.0;
            let mean = self.real_ms.get_or_insert(ms);
            *mean += (ms - *mean) * REAL_PERIOD_WEIGHT;
        }
        if now.saturating_duration_since(self.due) >= period {
            self.stretched += u64::from(is_running);
            self.due = now;
        }
        self.due += period;
    }

    /// Takes the readings of one acquisition into the cache.
    pub(crate) fn take(&mut self, readings: &mut Vec<Reading>) {
        self.scans += 1;
        match &mut self.writer {
            Writer::Scan(writer) => {
                self.row.clear();
                // A tag the driver gave no reading for is Bad, never the value of the scan before.
                self.row.resize(self.slice.tags.len(), (Value::Null, Quality::BAD));
                self.sources.clear();
                self.sources.resize(self.slice.tags.len(), None);
                let mut received = None;
                for reading in readings.drain(..) {
                    let Some(at) = self.place.get(&reading.tag).copied() else { continue };
                    received = received.max(Some(reading.received_ts));
                    if let (Some(cell), Some(c)) =
                        (self.row.get_mut(at), self.conditioners.get_mut(at))
                    {
                        *cell = c.condition(reading.value, reading.quality);
                    }
                    if let Some(source) = self.sources.get_mut(at) {
                        *source = reading.source_ts;
                    }
                }
                let received = received.unwrap_or_else(clock::now);
                writer.append_sourced(received, &self.row, &self.sources);
            }
            Writer::Stream(writer) => {
                if self.slice.cadence != Cadence::Published {
                    writer.confirm();
                }
                for reading in readings.drain(..) {
                    let Some(at) = self.place.get(&reading.tag).copied() else { continue };
                    let Some(c) = self.conditioners.get_mut(at) else { continue };
                    let (value, quality) = c.condition(reading.value, reading.quality);
                    let (source_ts, received_ts) = (reading.source_ts, reading.received_ts);
                    writer.append(reading.tag, Sample { value, quality, source_ts, received_ts });
                }
            }
        }
    }

    /// Marks every tag of it with why nothing comes in. Repeated outages leave one mark.
    pub(crate) fn outage(&mut self, quality: Quality, keep: LastValue) {
        self.began = None;
        let at: Timestamp = clock::now();
        match &mut self.writer {
            Writer::Scan(writer) => writer.append_outage(at, quality, keep),
            Writer::Stream(writer) => writer.append_outage(at, quality, keep),
        }
    }

    /// Makes it due as soon as its unit and its link are back: what is scanned once an hour must
    /// not stay without a value for an hour.
    pub(crate) fn want_soon(&mut self) {
        self.due = self.due.min(Instant::now());
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to integer cast saturates, and a period is never negative"
    )]
    pub(crate) fn report(&self) -> SliceReport {
        SliceReport {
            unit: self.slice.unit,
            scan_ms: self.slice.cadence.scan_ms(),
            real_scan_ms: self.real_ms.map(|ms| ms.round() as u32),
            tags: self.slice.tags.len(),
            requests: self.slice.requests,
            scans: self.scans,
            stretched: self.stretched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheLimits;
    use crate::driver::SliceId;
    use crate::model::UnitId;

    #[tokio::test]
    async fn a_polled_reading_keeps_the_time_its_device_gave_it() {
        let cache = TagCache::new(CacheLimits::default());
        let tags = vec![TagId(1), TagId(2)];
        let cadence = Cadence::Polled { scan_ms: 1000 };
        let (id, unit) = (SliceId(0), UnitId::default());
        let slice = Slice { id, unit, cadence, tags: tags.clone(), requests: 1 };
        let mut state = SliceState::new(slice, &cache, 0);
        let at = Timestamp::from_millis;
        let reading = |tag, source_ts| Reading {
            tag,
            value: Value::I64(7),
            quality: Quality::GOOD,
            source_ts,
            received_ts: at(5000),
        };
        // The second tag's clock gives nothing, and the order is the device's.
        state.take(&mut vec![reading(tags[1], None), reading(tags[0], Some(at(4200)))]);
        let source = |id| cache.latest(id).unwrap().sample.source_ts;
        assert_eq!((source(tags[0]), source(tags[1])), (Some(at(4200)), None));
    }
}
