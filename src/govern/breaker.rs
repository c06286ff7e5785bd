//! What one caller may cost: calls, bytes, tickets; and what denied writes lead to. Kept by user
//! id in the collector, so that a reconnect clears nothing.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Callers that are remembered; more users than this have no business with one collector.
const CALLERS_MAX: usize = 1024;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Denials that trip the breaker, and the time they have to come in.
const DENIALS_MAX: usize = 3;
const DENIALS_WITHIN_MS: u64 = 10 * MINUTE_MS;
/// The first pause, and what it doubles to.
const COOL_MS: u64 = MINUTE_MS;
const COOL_MS_MAX: u64 = HOUR_MS;
/// Identical calls that cost the device, within this time, after which the cache has to do.
const SAME_MAX: u32 = 300;
const SAME_WITHIN_MS: u64 = 2 * MINUTE_MS;
/// Calls of one user that are told apart; the oldest are forgotten.
const SAME_KINDS_MAX: usize = 256;

/// What a caller may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Calls of tools a minute.
    pub calls_per_min: u32,
    /// Bytes of answers a minute.
    pub bytes_per_min: u64,
    /// Tickets opened an hour.
    pub tickets_per_hour: u32,
    /// Tickets open at once.
    pub tickets_open: u32,
}

impl Default for Allowance {
    /// Far above what any agent reads with sense, and few enough tickets for a person to read.
    fn default() -> Self {
        Self {
            calls_per_min: 1_000_000,
            bytes_per_min: 64 << 30,
            tickets_per_hour: 20,
            tickets_open: 5,
        }
    }
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tripped {
    /// Too many calls.
    #[error("more than {0} calls in a minute")]
    Calls(u32),
    /// Too many bytes.
    #[error("answers of more than {0} bytes in a minute")]
    Bytes(u64),
    /// Too many tickets in an hour.
    #[error("more than {0} tickets in an hour")]
    Tickets(u32),
    /// Too many tickets open.
    #[error("{0} tickets are open already")]
    Open(u32),
    /// Denied too often; reads go on.
    #[error("writes and tickets of this user rest for {0} s, after {DENIALS_MAX} denials")]
    Cooling(u64),
}

#[derive(Debug, Default)]
struct Caller {
    minute: u64,
    calls: u32,
    bytes: u64,
    tickets: VecDeque<u64>,
    denials: VecDeque<u64>,
    cooling_until: u64,
    pause_ms: u64,
    seen: u64,
    /// By the digest of a call: since when, and how many cost the device.
    same: HashMap<u128, (u64, u32)>,
}

/// Every caller's account.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<HashMap<u32, Caller>>);

impl Breaker {
    fn with<T>(&self, uid: u32, now_ms: u64, work: impl FnOnce(&mut Caller) -> T) -> T {
        let mut callers = self.0.lock();
        if callers.len() >= CALLERS_MAX && !callers.contains_key(&uid) {
            let is_quiet = |c: &Caller| c.cooling_until <= now_ms && c.denials.is_empty();
            let oldest = callers.iter().filter(|(_, c)| is_quiet(c)).min_by_key(|(_, c)| c.seen);
            if let Some(oldest) = oldest.map(|(uid, _)| *uid) {
                callers.remove(&oldest);
            }
        }
        let caller = callers.entry(uid).or_default();
        caller.seen = now_ms;
        if caller.minute != now_ms / MINUTE_MS {
            (caller.minute, caller.calls, caller.bytes) = (now_ms / MINUTE_MS, 0, 0);
        }
        while caller.tickets.front().is_some_and(|at| at + HOUR_MS <= now_ms) {
            caller.tickets.pop_front();
        }
        while caller.denials.front().is_some_and(|at| at + DENIALS_WITHIN_MS <= now_ms) {
            caller.denials.pop_front();
        }
        work(caller)
    }

    /// Counts a call.
    ///
    /// # Errors
    /// It is one too many.
    pub fn call(&self, uid: u32, now_ms: u64, allowance: &Allowance) -> Result<(), Tripped> {
        self.with(uid, now_ms, |caller| {
            if caller.calls >= allowance.calls_per_min {
                return Err(Tripped::Calls(allowance.calls_per_min));
            }
            if caller.bytes >= allowance.bytes_per_min {
                return Err(Tripped::Bytes(allowance.bytes_per_min));
            }
            caller.calls += 1;
            Ok(())
        })
    }

    /// Counts the bytes of an answer.
    pub fn answered(&self, uid: u32, now_ms: u64, bytes: u64) {
        self.with(uid, now_ms, |caller| caller.bytes = caller.bytes.saturating_add(bytes));
    }

    /// Notes that a call has cost the device something.
    pub fn cost(&self, uid: u32, now_ms: u64, call: u128) {
        self.with(uid, now_ms, |caller| {
            caller.same.retain(|_, (since, _)| *since + SAME_WITHIN_MS > now_ms);
            if caller.same.len() >= SAME_KINDS_MAX && !caller.same.contains_key(&call) {
                let oldest = caller.same.iter().min_by_key(|(_, (since, _))| *since);
                if let Some(oldest) = oldest.map(|(call, _)| *call) {
                    caller.same.remove(&oldest);
                }
            }
            let (_, count) = caller.same.entry(call).or_insert((now_ms, 0));
            *count = count.saturating_add(1);
        });
    }

    /// Tells whether a call has cost the device so often of late that the cache has to do.
    pub fn is_runaway(&self, uid: u32, now_ms: u64, call: u128) -> bool {
        self.with(uid, now_ms, |caller| {
            let of_late = |(since, _): &&(u64, u32)| *since + SAME_WITHIN_MS > now_ms;
            caller.same.get(&call).filter(of_late).is_some_and(|(_, n)| *n >= SAME_MAX)
        })
    }

    /// Tells whether the caller's writes rest now.
    ///
    /// # Errors
    /// They do, and for how long.
    pub fn may_write(&self, uid: u32, now_ms: u64) -> Result<(), Tripped> {
        self.with(uid, now_ms, |caller| match caller.cooling_until.checked_sub(now_ms) {
            Some(left) if left > 0 => Err(Tripped::Cooling(left.div_ceil(1000))),
            _ => Ok(()),
        })
    }

    /// Counts a ticket.
    ///
    /// # Errors
    /// It is one too many, or the caller's writes rest.
    pub fn ticket(
        &self,
        uid: u32,
        now_ms: u64,
        open: u32,
        allowance: &Allowance,
    ) -> Result<(), Tripped> {
        self.may_write(uid, now_ms)?;
        if open >= allowance.tickets_open {
            return Err(Tripped::Open(open));
        }
        self.with(uid, now_ms, |caller| {
            if caller.tickets.len() >= usize::try_from(allowance.tickets_per_hour).unwrap_or(0) {
                return Err(Tripped::Tickets(allowance.tickets_per_hour));
            }
            caller.tickets.push_back(now_ms);
            Ok(())
        })
    }

    /// Counts a denied write; the third within ten minutes trips the breaker.
    pub fn denied(&self, uid: u32, now_ms: u64) {
        self.with(uid, now_ms, |caller| {
            caller.denials.push_back(now_ms);
            if caller.denials.len() >= DENIALS_MAX {
                caller.denials.clear();
                caller.pause_ms = (caller.pause_ms * 2).clamp(COOL_MS, COOL_MS_MAX);
                caller.cooling_until = now_ms + caller.pause_ms;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: u32 = 1601;

    #[test]
    fn three_denials_rest_writes_and_leave_reads_alone() {
        let breaker = Breaker::default();
        let allowance = Allowance::default();
        for at in [0, 1_000, 2_000] {
            assert!(breaker.may_write(AGENT, at).is_ok());
            breaker.denied(AGENT, at);
        }
        assert_eq!(breaker.may_write(AGENT, 2_000), Err(Tripped::Cooling(60)));
        assert!(breaker.ticket(AGENT, 2_000, 0, &allowance).is_err());
        assert!(breaker.call(AGENT, 2_000, &allowance).is_ok(), "reads go on");
        assert!(breaker.may_write(AGENT + 1, 2_000).is_ok(), "another user is another account");
        assert!(breaker.may_write(AGENT, 62_001).is_ok());
        (0..3).for_each(|_| breaker.denied(AGENT, 63_000));
        assert_eq!(breaker.may_write(AGENT, 63_000), Err(Tripped::Cooling(120)), "it doubles");
    }

    #[test]
    fn denials_that_lie_apart_trip_nothing() {
        let breaker = Breaker::default();
        for nth in 0..10 {
            breaker.denied(AGENT, nth * 6 * MINUTE_MS);
            assert!(breaker.may_write(AGENT, nth * 6 * MINUTE_MS).is_ok());
        }
    }

    #[test]
    fn calls_bytes_and_tickets_are_counted() {
        let breaker = Breaker::default();
        let allowance = Allowance {
            calls_per_min: 2,
            bytes_per_min: 100,
            tickets_per_hour: 2,
            tickets_open: 5,
        };
        assert!(breaker.call(AGENT, 0, &allowance).is_ok());
        assert!(breaker.call(AGENT, 1, &allowance).is_ok());
        assert_eq!(breaker.call(AGENT, 2, &allowance), Err(Tripped::Calls(2)));
        assert!(breaker.call(AGENT, MINUTE_MS, &allowance).is_ok());
        breaker.answered(AGENT, MINUTE_MS, 100);
        assert_eq!(breaker.call(AGENT, MINUTE_MS, &allowance), Err(Tripped::Bytes(100)));
        assert_eq!(breaker.ticket(AGENT, 0, 5, &allowance), Err(Tripped::Open(5)));
        assert!(breaker.ticket(AGENT, 1, 0, &allowance).is_ok());
        assert!(breaker.ticket(AGENT, 2, 1, &allowance).is_ok());
        assert_eq!(breaker.ticket(AGENT, 3, 1, &allowance), Err(Tripped::Tickets(2)));
        assert!(breaker.ticket(AGENT, HOUR_MS + 1, 1, &allowance).is_ok());
    }

    #[test]
    fn the_same_call_is_a_runaway_only_where_it_costs_the_device() {
        let breaker = Breaker::default();
        for nth in 0..300 {
            assert!(!breaker.is_runaway(AGENT, nth, 7), "{nth}");
            breaker.cost(AGENT, nth, 7);
        }
        assert!(breaker.is_runaway(AGENT, 300, 7));
        assert!(!breaker.is_runaway(AGENT, 300, 8), "another call");
        assert!(!breaker.is_runaway(AGENT + 1, 300, 7), "another user");
        assert!(breaker.call(AGENT, 300, &Allowance::default()).is_ok(), "it is answered");
        assert!(!breaker.is_runaway(AGENT, SAME_WITHIN_MS + 1, 7), "it passes");
        (100..1000).for_each(|call| breaker.cost(AGENT, 200, call));
        assert!(breaker.0.lock()[&AGENT].same.len() <= SAME_KINDS_MAX);
    }

    #[test]
    fn a_flood_of_users_forgets_no_pause() {
        let breaker = Breaker::default();
        (0..3).for_each(|_| breaker.denied(AGENT, 0));
        let allowance = Allowance::default();
        (10_000..12_000).for_each(|uid| assert!(breaker.call(uid, 1, &allowance).is_ok()));
        assert!(breaker.may_write(AGENT, 1).is_err());
    }
}
