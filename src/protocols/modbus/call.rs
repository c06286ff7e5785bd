//! A call that reads scattered addresses: turn by turn, so that scans go on between them.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use super::address::{self, Point, Shape};
use super::plan::{self, Memory, Span};
use super::scan::{Course, Outcome, Pass, Points};
use super::session::Session;
use super::settings::{Line, unit_fault};
use crate::clock;
use crate::driver::{DriverError, ErrorKind, NodeReading, Toll};
use crate::model::{DataType, UnitId, Value, WordOrder};

/// One call reads at most this many addresses, as the reference's bulk read does.
const READ_REFS_MAX: usize = 100;

/// What is asked, and how far it has come.
pub(super) struct Call {
    toll: Toll,
    refs: Vec<Arc<str>>,
    parsed: Vec<Result<Point, DriverError>>,
    /// Those that could be parsed.
    points: Vec<Point>,
    spans: Vec<Span>,
    /// What a call runs into says nothing of the configured tags: it is not remembered.
    memory: Memory,
    course: Course<'static>,
    pass: Pass,
}

impl Call {
    /// Plans a read of addresses as `uint16` or `bool`, coalesced; a wrong or refused one fails
    /// alone.
    pub(super) fn new(
        refs: Vec<Arc<str>>,
        line: &Line,
        known: &Memory,
        toll: Toll,
    ) -> Result<Self, DriverError> {
        if refs.len() > READ_REFS_MAX {
            let what = format!("{} addresses are more than {READ_REFS_MAX}", refs.len());
            return Err(DriverError::new(ErrorKind::BadAddress, what).hint("ask in several calls"));
        }
        let parsed: Vec<Result<Point, DriverError>> =
            refs.iter().map(|text| parse_ref(text, line)).collect();
        let points: Vec<Point> = parsed.iter().flatten().copied().collect();
        let spans: Vec<Span> = points.iter().map(Point::span).collect();
        let memory = known.copy_of_holes();
        let groups = plan::group(spans.iter().enumerate(), memory.holes());
        let course = Course::new(groups.into_iter().map(Cow::Owned));
        Ok(Self { toll, refs, parsed, points, spans, memory, course, pass: Pass::default() })
    }

    /// Tells whether it was begun on this account.
    pub(super) fn is_of(&self, toll: &Toll) -> bool {
        self.toll.is_same(toll)
    }

    /// Goes on for as many requests as the budget has now, `requests_max` at most, and tells
    /// whether that was all.
    ///
    /// # Errors
    /// The unit or the session failed, or there is no time or budget for the rest.
    pub(super) async fn turn(
        &mut self,
        session: &mut Session,
        deadline: Instant,
        requests_max: usize,
    ) -> Result<bool, DriverError> {
        let of = Points { points: &self.points, spans: &self.spans };
        for _ in 0..requests_max {
            if self.course.is_done() || self.toll.must_wait(deadline)? {
                break;
            }
            let paying = (&self.toll, deadline);
            self.course.step(session, of, &mut self.memory, &mut self.pass, paying).await?;
        }
        Ok(self.course.is_done())
    }

    /// Gives what came of each address, in the order they were asked.
    pub(super) fn readings(self) -> Vec<NodeReading> {
        let mut outcomes = self.points.iter().zip(self.pass.outcomes);
        let readings = self.refs.iter().zip(self.parsed).map(|(item, parsed)| match parsed {
            Err(error) => failed(item, "", error),
            Ok(_) => match outcomes.next() {
                Some((point, Some(outcome))) => reading(item, point, outcome),
                _ => failed(item, "", DriverError::new(ErrorKind::Protocol, "it was not read")),
            },
        });
        readings.collect()
    }
}

/// Reads an address with its unit behind an `@`, or of the endpoint's own unit.
fn parse_ref(text: &str, line: &Line) -> Result<Point, DriverError> {
    let (text, unit) = match text.rsplit_once('@') {
        None => (text, line.unit),
        Some((text, unit)) => {
            let unit = unit.trim().parse().map(UnitId).map_err(|_| {
                DriverError::new(ErrorKind::BadAddress, "what follows the @ is no unit id")
                    .hint("write holding:100@3 for unit 3")
            })?;
            (text, unit)
        }
    };
    if let Some(why) = unit_fault(unit, line.route.is_serial_framed()) {
        return Err(DriverError::new(ErrorKind::BadAddress, why).hint("correct the unit id"));
    }
    address::point(address::parse(text)?, DataType::Native, WordOrder::Abcd, unit)
}

fn reading(item: &Arc<str>, point: &Point, outcome: Outcome) -> NodeReading {
    let data_type = match point.shape {
        Shape::Bit | Shape::BitOf(_) => "bool",
        _ => "uint16",
    };
    match outcome {
        Outcome::Failed(error, _) => failed(item, data_type, *error),
        Outcome::Read(value, quality, received_ts) => NodeReading {
            item: item.clone(),
            value,
            data_type: data_type.into(),
            quality,
            source_ts: None,
            received_ts,
            error: None,
        },
    }
}

fn failed(item: &Arc<str>, data_type: &str, error: DriverError) -> NodeReading {
    NodeReading {
        item: item.clone(),
        value: Value::Null,
        data_type: data_type.into(),
        quality: error.quality(),
        source_ts: None,
        received_ts: clock::now(),
        error: Some(error),
    }
}
