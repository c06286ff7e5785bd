//! One labelled file: a time, signals, and whether something was wrong.

use std::collections::BTreeMap;

use crate::diagnose::instant_from_text;
use crate::model::Timestamp;

/// Rows of one file.
const ROWS_MAX: usize = 10_000_000;
/// Signals of one file.
const SIGNALS_MAX: usize = 64;
/// Columns that hold the label.
const LABELS: [&str; 3] = ["anomaly", "label", "is_anomaly"];
/// Columns that are neither a signal nor the label.
const OTHERS: [&str; 1] = ["changepoint"];

/// Windows in which something was wrong, by the name of the file.
pub type Windows = BTreeMap<String, Vec<(Timestamp, Timestamp)>>;

/// Why a file can't be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelledError {
    /// It has neither a label column nor windows.
    #[error("no column anomaly or label, and no windows for it: it is not labelled")]
    NotLabelled,
    /// A line can't be read.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// There is no number column, or too many.
    #[error("{0} signals: 1 to 64 are wanted, after a first column with the time")]
    Signals(usize),
    /// More rows than are taken.
    #[error("more than 10 000 000 rows")]
    TooLong,
}

/// One labelled file.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// Its path, as it was given.
    pub name: String,
    /// The folder it lies in: settings are chosen on other folders.
    pub group: String,
    /// The names of its signals.
    pub signals: Vec<String>,
    /// When each row was taken.
    pub times: Vec<Timestamp>,
    /// A value per signal and row; `None` where there is no finite number.
    pub rows: Vec<Vec<Option<f64>>>,
    /// Whether something was wrong.
    pub labels: Vec<bool>,
}

impl Labelled {
    /// Reads a file: `;` or `,` between the columns, a header, the time first.
    ///
    /// # Errors
    /// It is not labelled, or a line can't be read.
    pub fn parse(
        name: &str,
        group: &str,
        text: &str,
        windows: Option<&[(Timestamp, Timestamp)]>,
    ) -> Result<Self, LabelledError> {
        let header = text.lines().next().unwrap_or_default();
        let delimiter = if header.contains(';') { b';' } else { b',' };
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
        let line = |line: u64, what: String| LabelledError::Line { line, what };
        let header = reader.headers().map_err(|error| line(1, error.to_string()))?.clone();
        let is = |names: &[&str], column: &str| names.contains(&column.trim());
        let label = header.iter().position(|column| is(&LABELS, column));
        let signals: Vec<(usize, &str)> = header
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, column)| !is(&LABELS, column) && !is(&OTHERS, column))
            .collect();
        if !(1..=SIGNALS_MAX).contains(&signals.len()) {
            return Err(LabelledError::Signals(signals.len()));
        }
        if label.is_none() && windows.is_none() {
            return Err(LabelledError::NotLabelled);
        }
        let mut file = Self {
            name: name.to_owned(),
            group: group.to_owned(),
            signals: signals.iter().map(|(_, column)| (*column).to_owned()).collect(),
            times: Vec::new(),
            rows: Vec::new(),
            labels: Vec::new(),
        };
        for record in reader.records() {
            let at_line = file.rows.len() as u64 + 2;
            let record = record.map_err(|error| line(at_line, error.to_string()))?;
            if file.rows.len() == ROWS_MAX {
                return Err(LabelledError::TooLong);
            }
            let cell = |at: usize| record.get(at).unwrap_or_default().trim();
            let at = instant_from_text(cell(0))
                .ok_or_else(|| line(at_line, "the first column is no time".to_owned()))?;
            let number = |at: usize| cell(at).parse::<f64>().ok().filter(|x| x.is_finite());
            let is_wrong = match (label, windows) {
                (Some(label), _) => number(label)
                    .map(|x| x != 0.0)
                    .ok_or_else(|| line(at_line, "the label is no number".to_owned()))?,
                (None, windows) => {
                    windows.is_some_and(|all| all.iter().any(|(from, to)| *from <= at && at <= *to))
                }
            };
            file.times.push(at);
            file.rows.push(signals.iter().map(|(at, _)| number(*at)).collect());
            file.labels.push(is_wrong);
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_column_or_windows_say_what_is_wrong() {
        let text = "datetime;A;B;anomaly;changepoint\n\
                    2020-03-01 15:44:06;1.5;x;0.0;0.0\n2020-03-01 15:44:07;2;3;1.0;1.0\n";
        let file = Labelled::parse("f", "g", text, None).unwrap();
        assert_eq!(file.signals, ["A", "B"]);
        assert_eq!(file.rows, [vec![Some(1.5), None], vec![Some(2.0), Some(3.0)]]);
        assert_eq!(file.labels, [false, true]);
        let text = "timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:05:00,2\n";
        let window = [(file_time("2014-04-01 00:04:00"), file_time("2014-04-01 00:06:00"))];
        let file = Labelled::parse("f", "g", text, Some(&window)).unwrap();
        assert_eq!(file.labels, [false, true]);
        assert_eq!(Labelled::parse("f", "g", text, None), Err(LabelledError::NotLabelled));
    }

    fn file_time(text: &str) -> Timestamp {
        instant_from_text(text).unwrap()
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let wrong =
            |text: &str| Labelled::parse("f", "g", text, Some(&[])).unwrap_err().to_string();
        assert!(wrong("t,v\n2020-01-01 00:00:00,1\nx,2\n").starts_with("line 3"));
        assert!(wrong("t,v\n2020-01-01 00:00:00,1,2\n").starts_with("line 2"));
        assert!(wrong("").contains("0 signals"));
        assert!(wrong("t,anomaly\n").contains("0 signals"));
    }
}
