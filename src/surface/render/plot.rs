//! A series over time in braille dots: limits across it, gaps and Bad quality left open.

use jiff::Timestamp;

use super::cells::Reader;

/// Dots of one character (Unicode 16, Braille Patterns): two across, four down.
const DOTS_ACROSS: usize = 2;
/// See [`DOTS_ACROSS`].
const DOTS_DOWN: usize = 4;
/// The bit of each dot of a character, row by row.
const DOT_BITS: [[u8; DOTS_ACROSS]; DOTS_DOWN] =
    [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
/// The character without dots.
const BRAILLE: u32 = 0x2800;
/// The narrowest plot that shows anything.
const ACROSS_MIN: usize = 10;
/// A limit is drawn with one dot in so many.
const LIMIT_EVERY: usize = 4;
/// The bars of a sparkline, from low to high.
const BARS: [char; 8] = [
    '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}',
];

/// How far a point can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Good.
    Good,
    /// Uncertain: drawn, and never joined.
    Uncertain,
    /// Bad: marked below, and never drawn.
    Bad,
}

/// One point of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dot {
    /// When.
    pub(crate) at: Timestamp,
    /// What; none where it is no finite number.
    pub(crate) value: Option<f64>,
    /// How far to trust it.
    pub(crate) trust: Trust,
}

/// What is plotted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// The points, oldest first.
    pub(crate) dots: Vec<Dot>,
    /// Limits, by name.
    pub(crate) limits: Vec<(&'static str, f64)>,
    /// Stretches of which samples are known to be lost.
    pub(crate) gaps: Vec<(Timestamp, Timestamp)>,
    /// The engineering unit.
    pub(crate) unit: String,
    /// Up to when it is drawn; its last point where nobody says.
    pub(crate) until: Option<Timestamp>,
}

/// How large a plot is, in characters, its labels included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Characters across.
    pub(crate) across: usize,
    /// Lines of dots.
    pub(crate) down: usize,
}

/// Draws a series; one without a number says so.
pub(crate) fn plot(series: &Series, size: Size, reader: &Reader) -> String {
    let Some(scale) = Scale::of(series) else {
        return format!("nothing to plot: {}\n", why_empty(series));
    };
    let labels = [scale.high, scale.low + (scale.high - scale.low) / 2.0, scale.low];
    let labels = labels.map(|value| label(value, scale.high - scale.low));
    let margin = labels.iter().map(|text| text.chars().count()).max().unwrap_or_default();
    let across = size.across.saturating_sub(margin + 3).max(ACROSS_MIN);
    let mut canvas = Canvas::new(across, size.down.max(2));
    for (_, limit) in &series.limits {
        canvas.limit(scale.y(*limit, canvas.height()));
    }
    canvas.series(series, &scale);
    let mut out = String::new();
    let (last, middle) = (canvas.down - 1, (canvas.down - 1) / 2);
    for line in 0..canvas.down {
        let text = match line {
            0 => labels[0].as_str(),
            at if at == last => labels[2].as_str(),
            at if at == middle => labels[1].as_str(),
            _ => "",
        };
        out += &format!("{text:>margin$} \u{2502}{}\n", canvas.line(line));
    }
    let marks = canvas.marks.iter().collect::<String>();
    out += &format!("{:margin$} \u{2514}{}\n", "", "\u{2500}".repeat(across));
    if !marks.trim().is_empty() {
        out += &format!("{:margin$}  {}\n", "", marks.trim_end());
    }
    out + &foot(series, &scale, margin, across, reader)
}

fn why_empty(series: &Series) -> &'static str {
    match series.dots.is_empty() {
        true => "there are no points",
        false => "no point of it is a number",
    }
}

/// Writes the times, the limits, and what the marks mean.
fn foot(series: &Series, scale: &Scale, margin: usize, across: usize, reader: &Reader) -> String {
    let is_long = scale.until.duration_since(scale.since).as_secs() > 20 * 3600;
    let form = if is_long { "%m-%d %H:%M" } else { "%H:%M:%S" };
    let clock = |at: Timestamp| at.to_zoned(reader.zone.clone()).strftime(form).to_string();
    let (from, to) = (clock(scale.since), clock(scale.until));
    let between = across.saturating_sub(from.chars().count() + to.chars().count());
    let mut out = format!("{:margin$}  {from}{}{to}\n", "", " ".repeat(between.max(1)));
    let mut words: Vec<String> = Vec::new();
    if !series.unit.is_empty() {
        words.push(series.unit.clone());
    }
    let limits = series.limits.iter();
    words.extend(limits.map(|(name, limit)| format!("{name} {}", label(*limit, 0.0))));
    if series.dots.iter().any(|dot| dot.trust == Trust::Bad) {
        words.push("x Bad".to_owned());
    }
    if series.dots.iter().any(|dot| dot.trust == Trust::Uncertain) {
        words.push("~ Uncertain".to_owned());
    }
    if !series.gaps.is_empty() {
        words.push("? samples lost".to_owned());
    }
    if !words.is_empty() {
        out += &format!("{:margin$}  {}\n", "", words.join("   "));
    }
    out
}

/// From times and values to dots.
struct Scale {
    since: Timestamp,
    until: Timestamp,
    low: f64,
    high: f64,
}

impl Scale {
    /// Spans the points that may be drawn, and the limits; `None` where there are none, and none
    /// that is Bad.
    fn of(series: &Series) -> Option<Self> {
        let (since, last) = (series.dots.first()?.at, series.dots.last()?.at);
        let until = series.until.map_or(last, |until| until.max(last));
        let drawn = series.dots.iter().filter(|dot| dot.trust != Trust::Bad);
        let values: Vec<f64> =
            drawn.filter_map(|dot| dot.value).filter(|value| value.is_finite()).collect();
        let Some((first, rest)) = values.split_first() else {
            let is_bad = series.dots.iter().any(|dot| dot.trust == Trust::Bad);
            return is_bad.then_some(Self { since, until, low: 0.0, high: 1.0 });
        };
        let span = |(low, high): (f64, f64), value: &f64| (low.min(*value), high.max(*value));
        let (low, high) = rest.iter().fold((*first, *first), span);
        // A limit far away would press the series flat: it is named below instead.
        let reach = (high - low).max(high.abs() * 0.01).max(f64::MIN_POSITIVE) * 3.0;
        let near = series.limits.iter().map(|(_, limit)| limit);
        let near = near.filter(|limit| **limit >= low - reach && **limit <= high + reach);
        let (low, high) = near.fold((low, high), span);
        let (low, high) = match high > low {
            true => (low, high),
            // What stands still stands in the middle.
            false => (low - (low.abs() * 0.01).max(0.5), high + (high.abs() * 0.01).max(0.5)),
        };
        (low.is_finite() && high.is_finite()).then_some(Self { since, until, low, high })
    }

    /// Gives the row of a value, counted from above; `None` where it lies outside.
    fn y(&self, value: f64, height: usize) -> Option<usize> {
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        let share = (-1e-9..=1.0 + 1e-9).contains(&share).then_some(share.clamp(0.0, 1.0))?;
        Some(height - 1 - part(share, height - 1))
    }

    fn x(&self, at: Timestamp, width: usize) -> usize {
        let whole = self.until.duration_since(self.since).as_secs_f64();
        let gone = at.duration_since(self.since).as_secs_f64();
        let share = if whole > 0.0 { (gone / whole).clamp(0.0, 1.0) } else { 0.0 };
        part(share, width - 1)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share between 0 and 1 of the dots of a terminal"
)]
fn part(share: f64, of: usize) -> usize {
    (share * of as f64).round() as usize
}

/// Dots, and one line of marks below them.
struct Canvas {
    across: usize,
    down: usize,
    cells: Vec<u8>,
    marks: Vec<char>,
}

impl Canvas {
    fn new(across: usize, down: usize) -> Self {
        Self { across, down, cells: vec![0; across * down], marks: vec![' '; across] }
    }

    fn width(&self) -> usize {
        self.across * DOTS_ACROSS
    }

    fn height(&self) -> usize {
        self.down * DOTS_DOWN
    }

    fn dot(&mut self, x: usize, y: usize) {
        let at = y / DOTS_DOWN * self.across + x / DOTS_ACROSS;
        let bit = DOT_BITS.get(y % DOTS_DOWN).and_then(|row| row.get(x % DOTS_ACROSS));
        if let (Some(cell), Some(bit)) = (self.cells.get_mut(at), bit) {
            *cell |= bit;
        }
    }

    fn limit(&mut self, y: Option<usize>) {
        let Some(y) = y else { return };
        (0..self.width()).step_by(LIMIT_EVERY).for_each(|x| self.dot(x, y));
    }

    fn mark(&mut self, x: usize, sign: char) {
        // A loss is worse than a Bad value, and that than an Uncertain one.
        let rank = |sign: char| [' ', '~', 'x', '?'].iter().position(|known| *known == sign);
        if let Some(mark) = self.marks.get_mut(x / DOTS_ACROSS)
            && rank(sign) > rank(*mark)
        {
            *mark = sign;
        }
    }

    fn series(&mut self, series: &Series, scale: &Scale) {
        let mut before: Option<(Timestamp, usize, usize)> = None;
        let next = series.dots.iter().skip(1).map(|dot| dot.at).chain([scale.until]);
        for (dot, next) in series.dots.iter().zip(next) {
            let x = scale.x(dot.at, self.width());
            match dot.trust {
                // An outage is one mark: it lasts until something else comes.
                Trust::Bad => {
                    let end = scale.x(next, self.width()).max(x + 1);
                    (x..end).for_each(|x| self.mark(x, 'x'));
                }
                Trust::Uncertain => self.mark(x, '~'),
                Trust::Good => {}
            }
            let y = dot.value.filter(|_| dot.trust != Trust::Bad);
            let Some(y) = y.and_then(|value| scale.y(value, self.height())) else {
                before = None;
                continue;
            };
            self.dot(x, y);
            let is_whole = |from: Timestamp| {
                !series.gaps.iter().any(|(start, end)| *start < dot.at && *end > from)
            };
            if let Some((at, from_x, from_y)) = before
                && dot.trust == Trust::Good
                && is_whole(at)
            {
                self.join((from_x, from_y), (x, y));
            }
            before = (dot.trust == Trust::Good).then_some((dot.at, x, y));
        }
        for (start, end) in &series.gaps {
            let (from, to) = (scale.x(*start, self.width()), scale.x(*end, self.width()));
            (from..=to).for_each(|x| self.mark(x, '?'));
        }
    }

    /// Joins two points by a straight line.
    fn join(&mut self, (x0, y0): (usize, usize), (x1, y1): (usize, usize)) {
        let steps = x1.abs_diff(x0).max(y1.abs_diff(y0));
        for step in 1..steps {
            let along = |from: usize, to: usize| match to >= from {
                true => from + ((to - from) * step + steps / 2) / steps,
                false => from - ((from - to) * step + steps / 2) / steps,
            };
            self.dot(along(x0, x1), along(y0, y1));
        }
    }

    fn line(&self, line: usize) -> String {
        let cells = self.cells.iter().skip(line * self.across).take(self.across);
        let text: String = cells
            .map(|bits| match bits {
                0 => ' ',
                bits => char::from_u32(BRAILLE + u32::from(*bits)).unwrap_or('?'),
            })
            .collect();
        text.trim_end().to_owned()
    }
}

/// Writes a number with as many digits as a span of values needs.
fn label(value: f64, span: f64) -> String {
    let size = span.abs();
    let text = match () {
        () if value.abs() >= 1e9 || (value != 0.0 && value.abs() < 1e-4) => {
            return format!("{value:.3e}");
        }
        () if size == 0.0 => return format!("{value}"),
        () if size >= 100.0 => format!("{value:.0}"),
        () if size >= 10.0 => format!("{value:.1}"),
        () if size >= 1.0 => format!("{value:.2}"),
        () => format!("{value:.4}"),
    };
    if text.trim_start_matches(['-', '0', '.']).is_empty() { "0".to_owned() } else { text }
}

/// Draws values as bars of one line; what may not be trusted is a mark, and no bar.
pub(crate) fn sparkline(dots: &[Dot], across: usize) -> String {
    let drawn = |dot: &Dot| dot.value.filter(|v| v.is_finite() && dot.trust == Trust::Good);
    let values: Vec<f64> = dots.iter().filter_map(drawn).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let Some((first, last)) = dots.first().zip(dots.last()) else { return String::new() };
    let scale = Scale { since: first.at, until: last.at, low, high };
    let mut cells: Vec<Option<char>> = vec![None; across.max(1)];
    for dot in dots {
        let sign = match (dot.trust, drawn(dot)) {
            (Trust::Bad, _) => 'x',
            (_, Some(value)) if high > low => {
                let share = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
                BARS.get(part(share, BARS.len() - 1)).copied().unwrap_or('?')
            }
            (_, Some(_)) => BARS[3],
            (_, None) => '~',
        };
        if let Some(cell) = cells.get_mut(scale.x(dot.at, across.max(1))) {
            // What may not be trusted is never hidden by a neighbour.
            *cell = if *cell == Some('x') { *cell } else { Some(sign) };
        }
    }
    cells.into_iter().map(|cell| cell.unwrap_or(' ')).collect()
}

#[cfg(test)]
#[path = "plot_tests.rs"]
mod tests;
