//! What was probably meant.

/// The most names suggested: more would be a list to read, not a hint.
const NAMES_MAX: usize = 3;
/// Below this likeness (Jaro-Winkler, 0 to 1) a name is no help.
const LIKENESS_MIN: f64 = 0.8;

/// Gives the known names most like the one given, best first.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut likely: Vec<(f64, &str)> = known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    likely.sort_by(|left, right| right.0.total_cmp(&left.0));
    likely.into_iter().take(NAMES_MAX).map(|(_, candidate)| candidate.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_nonsense_is_not() {
        let known = ["tag_read", "tag_find", "plant_overview"];
        assert_eq!(nearest("tag_reed", known.into_iter()).first().unwrap(), "tag_read");
        assert!(nearest("zzzz", known.into_iter()).is_empty());
    }
}
