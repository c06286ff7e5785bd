//! The device's budget: a token bucket that every protocol message pays into.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::DriverError;
use crate::model::Budget;

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
        Duration::try_from_secs_f64(missing / self.per_s).unwrap_or(Duration::MAX)
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

    /// Takes a new budget, keeping the counts.
    pub fn set_budget(&self, budget: Budget) {
        *self.buckets.lock() = Self::buckets(budget);
    }

    /// Tells whether a call could send at once.
    #[must_use]
    pub fn has_room_for_demand(&self) -> bool {
        let mut b = self.buckets.lock();
        let now = Instant::now();
        b.all.refill(now);
        b.demand.refill(now);
        b.all.tokens >= 1.0 && b.demand.tokens >= 1.0
    }

    /// Gives how long until a call could send.
    #[must_use]
    pub fn wait_for_demand(&self) -> Duration {
        let mut b = self.buckets.lock();
        let now = Instant::now();
        b.all.refill(now);
        b.demand.refill(now);
        b.all.wait().max(b.demand.wait())
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
}

impl Toll {
    /// Opens an account.
    #[must_use]
    pub fn new(meter: Arc<Meter>, purpose: Purpose) -> Self {
        let (spent, progress) = (Arc::default(), Arc::default());
        Self { meter, purpose, spent, progress }
    }

    /// Opens an account for what the same device's session sends on its own.
    #[must_use]
    pub fn background(&self) -> Self {
        Self::new(self.meter.clone(), Purpose::Scan)
    }

    /// Pays for one message, waiting for the budget until the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::BudgetExhausted`] where the wait would pass the deadline.
    pub async fn spend(&self, deadline: Instant) -> Result<(), DriverError> {
        loop {
            match self.meter.take(self.purpose) {
                Ok(()) => break,
                Err(wait) if Instant::now() + wait.min(Duration::from_secs(3600)) > deadline => {
                    return Err(DriverError::budget_exhausted());
                }
                Err(wait) => tokio::time::sleep(wait.max(Duration::from_millis(1))).await,
            }
        }
        self.record(1);
        Ok(())
    }

    /// Counts messages that can't wait for the budget: connection set-up and keep-alives.
    pub fn record(&self, messages: u32) {
        self.spent.fetch_add(messages, Relaxed);
        self.meter.count(self.purpose, messages);
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
}
