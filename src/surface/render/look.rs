//! What the reader's terminal can show.

use comfy_table::{ContentArrangement, Table};

/// How tables may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns of the terminal; `None` where nobody looks, and nothing is wrapped or cut.
    pub(crate) columns: Option<u16>,
    /// Whether words may have colours.
    pub(crate) paint: Paint,
}

/// Whether words may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// They may.
    Coloured,
    /// They may not: a pipe, or `NO_COLOR` (no-color.org).
    Plain,
}

impl Look {
    /// For pipes.
    pub(crate) const PLAIN: Self = Self { columns: None, paint: Paint::Plain };

    /// Looks at where stdout goes.
    pub(crate) fn of_stdout() -> Self {
        Self::of(Table::new())
    }

    /// Looks at where stderr goes.
    pub(crate) fn of_stderr() -> Self {
        let mut probe = Table::new();
        probe.use_stderr();
        Self::of(probe)
    }

    fn of(mut probe: Table) -> Self {
        probe.set_content_arrangement(ContentArrangement::Dynamic);
        if !probe.is_tty() {
            return Self::PLAIN;
        }
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let paint = if is_plain { Paint::Plain } else { Paint::Coloured };
        // A terminal that tells no width has none to keep to.
        Self { columns: probe.width().filter(|columns| *columns > 0), paint }
    }

    /// Gives the look of what stands further right.
    pub(super) fn indented(self, by: u16) -> Self {
        Self { columns: self.columns.map(|columns| columns.saturating_sub(by)), ..self }
    }
}
