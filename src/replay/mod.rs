//! Recorded data that is labelled, played through the collector's own cache: what each detector
//! would have said, and how often it was right.
//!
//! One pass, without a look ahead: every detector learns from the first rows of a file, and then
//! is given row by row what the cache holds. A setting is never chosen on the files it is scored
//! on.

mod corpus;
mod labelled;
mod play;
mod report;
mod running;
mod score;

pub use corpus::{Corpus, CorpusError};
pub use labelled::{Labelled, LabelledError, Windows};
pub use play::{Played, Train, play};
pub use report::{Line, Report, report};
pub use score::Score;
