//! The device's budget: a token bucket that every protocol message pays into.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{DriverError, ErrorKind, Reaction};
use crate::model::Budget;

/// The longest a wait is said to be: a share of nothing would be waited for without end.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// How often work that waits for the budget looks whether anyone still waits for it.
const ABANDONED_EVERY: Duration = Duration::from_millis(250);

/// What a message is sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Configured scans, and what keeps the session alive.
    Scan,
    /// A call of an agent or an operator.
    Demand,
}

/// Tokens of one bucket.
#[derive(Debug)]
struct Bucket {
    per_s: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_s: f64, burst: f64) -> Self {
        Self { per_s, burst, tokens: burst, at: Instant::now() }
    }

    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_s).min(self.burst);
        self.at = now;
    }

    /// Gives how long until one token is there.
    fn wait(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / self.per_s).unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }
}

#[derive(Debug)]
struct Buckets {
    budget: Budget,
    /// Everything.
    all: Bucket,
    /// What calls may take of it.
    demand: Bucket,
}

/// Counts and limits the messages sent to one device.
#[derive(Debug)]
pub struct Meter {
    buckets: Mutex<Buckets>,
    sent: AtomicU64,
    sent_on_demand: AtomicU64,
}

/// What a meter has seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeterReport {
    /// The limits.
    pub budget: Budget,
    /// Messages sent since the start.
    pub sent: u64,
    /// Those among them that calls caused.
    pub sent_on_demand: u64,
}

impl Meter {
    /// Makes a full meter.
    #[must_use]
    pub fn new(budget: Budget) -> Arc<Self> {
        let buckets = Mutex::new(Self::buckets(budget));
        Arc::new(Self { buckets, sent: AtomicU64::new(0), sent_on_demand: AtomicU64::new(0) })
    }

    fn buckets(budget: Budget) -> Buckets {
        let share = budget.on_demand_share.clamp(0.0, 1.0);
        let burst = f64::from(budget.burst).max(1.0);
        Buckets {
            budget,
            all: Bucket::new(budget.requests_per_s, burst),
            // A call needs at least one whole token to exist.
            demand: Bucket::new(budget.requests_per_s * share, (burst * share).max(1.0)),
        }
    }

    /// Tells whether the calls' share has room for one more.
    ///
    /// The share alone counts: scans that use up the whole budget wait for a call that has room
    /// in its share, else calls would never come through.
    #[must_use]
    pub fn has_room_for_demand(&self) -> bool {
        self.wait_for_demand().is_zero()
    }

    /// Gives how long until the calls' share has room.
    #[must_use]
    pub fn wait_for_demand(&self) -> Duration {
        let mut b = self.buckets.lock();
        b.demand.refill(Instant::now());
        b.demand.wait()
    }

    /// Reports limits and counts.
    #[must_use]
    pub fn report(&self) -> MeterReport {
        MeterReport {
            budget: self.buckets.lock().budget,
            sent: self.sent.load(Relaxed),
            sent_on_demand: self.sent_on_demand.load(Relaxed),
        }
    }

    /// Takes a token, or says how long to wait for one.
    fn take(&self, purpose: Purpose) -> Result<(), Duration> {
        let mut b = self.buckets.lock();
        let now = Instant::now();
        b.all.refill(now);
        b.demand.refill(now);
        let demand = purpose == Purpose::Demand;
        if b.all.tokens < 1.0 || (demand && b.demand.tokens < 1.0) {
            return Err(if demand { b.all.wait().max(b.demand.wait()) } else { b.all.wait() });
        }
        b.all.tokens -= 1.0;
        if demand {
            b.demand.tokens -= 1.0;
        }
        Ok(())
    }

    fn count(&self, purpose: Purpose, messages: u32) {
        self.sent.fetch_add(u64::from(messages), Relaxed);
        if purpose == Purpose::Demand {
            self.sent_on_demand.fetch_add(u64::from(messages), Relaxed);
        }
    }
}

/// One piece of work's account with the device's meter.
#[derive(Debug, Clone)]
pub struct Toll {
    meter: Arc<Meter>,
    purpose: Purpose,
    spent: Arc<AtomicU32>,
    progress: Arc<AtomicU32>,
    /// Held by everyone who waits for the work; `None` where nobody has to.
    waiters: Option<Weak<()>>,
}

impl Toll {
    /// Opens an account.
    #[must_use]
    pub fn new(meter: Arc<Meter>, purpose: Purpose) -> Self {
        let (spent, progress) = (Arc::default(), Arc::default());
        Self { meter, purpose, spent, progress, waiters: None }
    }

    /// Ties the work to those who wait for it: once all of them have let go, it sends nothing
    /// more.
    #[must_use]
    pub fn waited_for(mut self, waiters: Weak<()>) -> Self {
        self.waiters = Some(waiters);
        self
    }

    /// Tells whether nobody waits for the work any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.waiters.as_ref().is_some_and(|waiters| waiters.strong_count() == 0)
    }

    /// Opens an account for what the same device's session sends on its own.
    #[must_use]
    pub fn background(&self) -> Self {
        Self::new(self.meter.clone(), Purpose::Scan)
    }

    /// Pays for one message, waiting for the budget until the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::BudgetExhausted`] where the wait would pass the deadline, and
    /// [`ErrorKind::Closed`] where nobody waits for the work any more.
    pub async fn spend(&self, deadline: Instant) -> Result<(), DriverError> {
        loop {
            if self.is_abandoned() {
                return Err(DriverError::new(ErrorKind::Closed, "nobody waits for the answer")
                    .reacting(Reaction::FailTag));
            }
            match self.meter.take(self.purpose) {
                Ok(()) => break,
                Err(wait) if Instant::now() + wait > deadline => {
                    return Err(DriverError::budget_exhausted());
                }
                Err(wait) => {
                    let pause = wait.clamp(Duration::from_millis(1), ABANDONED_EVERY);
                    tokio::time::sleep(pause).await;
                }
            }
        }
        self.record(1);
        Ok(())
    }

    /// Tells whether the next message would have to wait for the calls' share, so that work which
    /// can go on later lets others have the device meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::BudgetExhausted`] where the wait would pass the deadline.
    pub fn must_wait(&self, deadline: Instant) -> Result<bool, DriverError> {
        let wait = match self.purpose {
            Purpose::Scan => Duration::ZERO,
            Purpose::Demand => self.meter.wait_for_demand(),
        };
        if !wait.is_zero() && Instant::now() + wait > deadline {
            return Err(DriverError::budget_exhausted());
        }
        Ok(!wait.is_zero())
    }

    /// Tells whether two are the same account.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.spent, &other.spent)
    }

    /// Counts messages that can't wait for the budget: connection set-up and keep-alives.
    pub fn record(&self, messages: u32) {
        self.spent.fetch_add(messages, Relaxed);
        self.meter.count(self.purpose, messages);
    }

    /// Takes on what was already sent on another account of the same device.
    pub fn take_on(&self, other: &Self) {
        let messages = other.spent();
        self.spent.fetch_add(messages, Relaxed);
        if self.purpose == Purpose::Demand && other.purpose == Purpose::Scan {
            self.meter.sent_on_demand.fetch_add(u64::from(messages), Relaxed);
        }
    }

    /// Gives how many messages this work has sent.
    #[must_use]
    pub fn spent(&self) -> u32 {
        self.spent.load(Relaxed)
    }

    /// Says how far the work has come: nodes seen, samples heard.
    pub fn report_progress(&self, items: u32) {
        self.progress.store(items, Relaxed);
    }

    /// Gives how far the work has come.
    #[must_use]
    pub fn progress(&self) -> u32 {
        self.progress.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget { requests_per_s: 10.0, burst: 5, connections: 1, on_demand_share: 0.2 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_the_rate_holds() {
        let toll = Toll::new(Meter::new(budget()), Purpose::Scan);
        let start = Instant::now();
        let deadline = start + Duration::from_secs(60);
        for _ in 0..25 {
            toll.spend(deadline).await.unwrap();
        }
        let ms = start.elapsed().as_millis();
        assert!((1990..=2100).contains(&ms), "{ms}");
        assert_eq!(toll.spent(), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_take_no_more_than_their_share() {
        let meter = Meter::new(budget());
        let toll = Toll::new(meter.clone(), Purpose::Demand);
        let start = Instant::now();
        let mut sent = 0;
        while toll.spend(start + Duration::from_secs(10)).await.is_ok() {
            sent += 1;
        }
        // One of the burst, then two a second for ten seconds.
        assert!((20..=21).contains(&sent), "{sent}");
        assert!(!meter.has_room_for_demand());
        assert!(
            Toll::new(meter, Purpose::Scan).spend(start + Duration::from_secs(11)).await.is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn scans_that_use_up_the_budget_leave_the_calls_their_share() {
        let meter = Meter::new(budget());
        let scan = Toll::new(meter.clone(), Purpose::Scan);
        let start = Instant::now();
        let deadline = start + Duration::from_secs(60);
        while start.elapsed() < Duration::from_secs(5) {
            scan.spend(deadline).await.unwrap();
        }
        assert!(meter.has_room_for_demand());
        Toll::new(meter, Purpose::Demand).spend(deadline).await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(5300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_nothing_is_a_long_wait_and_no_overflow() {
        let meter = Meter::new(Budget { on_demand_share: 0.0, ..budget() });
        let toll = Toll::new(meter.clone(), Purpose::Demand);
        let soon = Instant::now() + Duration::from_secs(10);
        toll.spend(soon).await.unwrap();
        assert_eq!(meter.wait_for_demand(), WAIT_MAX);
        assert_eq!(toll.spend(soon).await.unwrap_err().kind, ErrorKind::BudgetExhausted);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_nobody_waits_for_sends_nothing_more() {
        let waiting = Arc::new(());
        let meter = Meter::new(budget());
        let toll = Toll::new(meter, Purpose::Demand).waited_for(Arc::downgrade(&waiting));
        let deadline = Instant::now() + Duration::from_secs(10);
        toll.spend(deadline).await.unwrap();
        drop(waiting);
        let error = toll.spend(deadline).await.unwrap_err();
        assert_eq!((error.reaction(), toll.spent()), (Reaction::FailTag, 1));
    }
}
