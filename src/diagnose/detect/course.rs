//! The long run of a signal: the mean of each interval, over hours.
//!
//! A ring holds some five hundred samples, of a fast tag a few minutes: what moves slowly shows
//! only beyond it. Intervals lie on whole multiples of their length, so that the same samples
//! give the same means whenever they are taken.

use std::collections::{HashMap, VecDeque};

use super::Signal;
use super::signal::Kind;
use crate::model::{TagId, Timestamp};

/// Intervals that are kept of a tag: 16 bytes each.
const POINTS_MAX: usize = 160;
/// Seconds of an interval: twice as many each time the course is full, up to the second, so that
/// it reaches back nearly three hours.
const STEP_S: (u32, u32) = (1, 64);
/// Tags that are followed: 25 MB of means.
const TAGS_MAX: usize = 10_000;

/// The long run of one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    step_s: u32,
    points: VecDeque<Point>,
    /// When the newest number that is in it was received.
    newest: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    /// Intervals since 1970.
    interval: u32,
    count: u32,
    mean: f64,
}

/// What a course was like when it was judged by: enough to make it again out of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CourseExtent {
    /// When it began.
    pub since: Timestamp,
    /// Seconds of an interval.
    pub step_s: u32,
}

impl Default for Course {
    fn default() -> Self {
        Self { step_s: STEP_S.0, points: VecDeque::new(), newest: None }
    }
}

impl Course {
    /// Makes one with so long an interval, as another one had.
    #[must_use]
    pub fn of_step(step_s: u32) -> Self {
        Self { step_s: step_s.clamp(STEP_S.0, STEP_S.1), ..Self::default() }
    }

    /// Takes the numbers of a signal that are newer than what it has. It begins again where time
    /// ran back.
    pub fn take(&mut self, signal: &Signal) {
        if signal.times.last().is_some_and(|last| Some(*last) < self.newest) {
            *self = Self::default();
        }
        let first = signal.times.partition_point(|at| Some(*at) <= self.newest);
        let newer = signal.times.iter().zip(&signal.numbers).skip(first);
        newer.for_each(|(at, number)| self.push(*at, *number));
    }

    fn push(&mut self, at: Timestamp, number: f64) {
        let second = at.millis().div_euclid(1000);
        let Ok(interval) = u32::try_from(second / i64::from(self.step_s)) else { return };
        self.newest = Some(at);
        let own = Point { interval, count: 1, mean: number };
        match self.points.back_mut().filter(|last| last.interval == interval) {
            Some(last) => *last = last.with(own),
            None => self.points.push_back(own),
        }
        if self.points.len() <= POINTS_MAX {
            return;
        }
        if self.step_s < STEP_S.1 {
            self.widen();
        } else {
            self.points.pop_front();
        }
    }

    /// Makes the intervals twice as long.
    fn widen(&mut self) {
        self.step_s *= 2;
        let mut wide: VecDeque<Point> = VecDeque::with_capacity(POINTS_MAX + 1);
        for point in &self.points {
            let point = Point { interval: point.interval / 2, ..*point };
            match wide.back_mut().filter(|last| last.interval == point.interval) {
                Some(last) => *last = last.with(point),
                None => wide.push_back(point),
            }
        }
        self.points = wide;
    }

    /// Gives when it began and how long its intervals are; `None` where it is empty.
    #[must_use]
    pub fn extent(&self) -> Option<CourseExtent> {
        let first = self.points.front()?;
        Some(CourseExtent { since: self.time(first), step_s: self.step_s })
    }

    /// Gives its means, and when each interval began.
    pub(super) fn run(&self) -> Run {
        Run {
            numbers: self.points.iter().map(|point| point.mean).collect(),
            times: self.points.iter().map(|point| self.time(point)).collect(),
        }
    }

    fn time(&self, point: &Point) -> Timestamp {
        Timestamp::from_millis(i64::from(point.interval) * i64::from(self.step_s) * 1000)
    }
}

impl Point {
    fn with(self, other: Self) -> Self {
        let count = self.count.saturating_add(other.count);
        let share = f64::from(other.count) / f64::from(count.max(1));
        Self { count, mean: self.mean + (other.mean - self.mean) * share, ..self }
    }
}

/// Numbers with their times, in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    pub(super) numbers: Vec<f64>,
    pub(super) times: Vec<Timestamp>,
}

/// The courses of many tags.
#[derive(Debug, Default)]
pub struct Courses {
    of: HashMap<TagId, Course>,
}

impl Courses {
    /// Takes what is new of a tag and adds its course to the signal. Only measured numbers have
    /// one, and of no more than 10 000 tags.
    pub fn follow(&mut self, id: TagId, signal: &mut Signal) {
        if signal.kind != Kind::Analogue {
            return;
        }
        let has_room = self.of.len() < TAGS_MAX;
        let course = match self.of.get_mut(&id) {
            Some(course) => course,
            None if has_room => self.of.entry(id).or_default(),
            None => return,
        };
        course.take(signal);
        signal.course = course.run();
    }

    /// Gives when a tag's course began and how long its intervals are.
    #[must_use]
    pub fn extent(&self, id: TagId) -> Option<CourseExtent> {
        self.of.get(&id)?.extent()
    }

    /// Forgets the tags that are no more.
    pub fn keep(&mut self, is_there: impl Fn(TagId) -> bool) {
        self.of.retain(|id, _| is_there(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::window;
    use super::*;

    fn signal(seconds: usize) -> Signal {
        let value = |n: usize| f64::from(u32::try_from(n).unwrap()) + 0.5;
        Signal::of(&window(&(0..seconds).map(value).collect::<Vec<_>>()))
    }

    #[test]
    fn a_course_grows_wider_as_it_grows_longer() {
        let mut course = Course::default();
        course.take(&signal(100));
        assert_eq!((course.points.len(), course.step_s), (100, 1));
        course.take(&signal(1000));
        let run = course.run();
        assert_eq!((run.numbers.len(), course.step_s), (125, 8));
        assert_eq!(run.numbers[..2], [4.0, 12.0], "the mean of 0.5 to 7.5, and of the next");
        assert_eq!(run.times[1], Timestamp::from_millis(8_000));
        course.take(&signal(20_000));
        assert_eq!((course.points.len(), course.step_s), (POINTS_MAX, 64));
        assert_eq!(course.extent().unwrap().since.millis() % 64_000, 0);
    }

    #[test]
    fn what_was_taken_in_parts_is_what_is_taken_at_once() {
        let mut parts = Course::default();
        (1..=40).for_each(|n| parts.take(&signal(n * 37)));
        let mut whole = Course::of_step(parts.step_s);
        whole.take(&signal(40 * 37));
        let (parts, whole) = (parts.run(), whole.run());
        assert_eq!(parts.times, whole.times);
        for (a, b) in parts.numbers.iter().zip(&whole.numbers) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }

    #[test]
    fn where_time_ran_back_it_begins_again() {
        let mut course = Course::default();
        course.take(&signal(1000));
        course.take(&signal(50));
        assert_eq!((course.points.len(), course.step_s), (50, 1));
    }

    #[test]
    fn courses_are_of_measured_numbers() {
        let mut courses = Courses::default();
        let mut states = Signal::of(&window(&[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]));
        courses.follow(TagId(1), &mut states);
        assert_eq!(courses.extent(TagId(1)), None);
        let mut moving = signal(200);
        courses.follow(TagId(2), &mut moving);
        assert_eq!(moving.course.numbers.len(), 100);
        courses.keep(|_| false);
        assert_eq!(courses.extent(TagId(2)), None);
    }
}
