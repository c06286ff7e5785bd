//! Reading an endpoint's own keys: every fault found, each named by its key.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::{SettingError, Settings};

/// A reader that collects what is wrong.
#[derive(Debug)]
pub struct Keys<'a> {
    settings: &'a Settings,
    errors: Vec<SettingError>,
}

impl<'a> Keys<'a> {
    /// Begins to read.
    #[must_use]
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings, errors: Vec::new() }
    }

    /// Notes what is wrong with a key.
    pub fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.errors.push(SettingError { key: key.to_owned(), message: message.into() });
    }

    /// Tells whether a key is given.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    /// Reads text, trimmed; `None` where the key is missing or its value is no text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.settings.get(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => {
                self.fault(key, "must be text, not empty");
                None
            }
        }
    }

    /// Reads text that must be there; `what` says what it is.
    pub fn needed_text(&mut self, key: &str, what: &str) -> Option<String> {
        if !self.has(key) {
            self.fault(key, format!("is missing: {what}"));
        }
        self.text(key)
    }

    /// Reads a whole number within a range, or the one a missing key means.
    pub fn number(&mut self, key: &str, or: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.settings.get(key) else { return or };
        match value.as_u64().filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                let (from, to) = (range.start(), range.end());
                self.fault(key, format!("must be a whole number from {from} to {to}"));
                or
            }
        }
    }

    /// Gives what was wrong.
    #[must_use]
    pub fn into_errors(self) -> Vec<SettingError> {
        self.errors
    }

    /// Tells whether nothing was wrong so far.
    #[must_use]
    pub fn are_good(&self) -> bool {
        self.errors.is_empty()
    }
}
