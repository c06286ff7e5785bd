//! Patterns of tag names.

/// Tells whether a name matches a pattern: `*` within a segment, `**` across segments.
#[must_use]
pub fn tag_matches(pattern: &str, name: &str) -> bool {
    fn step(p: &[u8], n: &[u8]) -> bool {
        match (p.split_first(), n.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) if rest.first() == Some(&b'*') => {
                let after = rest.get(1..).unwrap_or_default();
                (0..=n.len()).any(|at| n.get(at..).is_some_and(|n| step(after, n)))
            }
            (Some((b'*', rest)), _) => {
                let end = n.iter().position(|c| *c == b'/').unwrap_or(n.len());
                (0..=end).any(|at| n.get(at..).is_some_and(|n| step(rest, n)))
            }
            (Some((a, p)), Some((b, n))) => a == b && step(p, n),
            _ => false,
        }
    }
    step(pattern.as_bytes(), name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::tag_matches as matches;

    #[test]
    fn one_star_stays_in_its_segment_and_two_cross() {
        assert!(matches("line1/*", "line1/temp"));
        assert!(!matches("line1/*", "line1/oven/temp"));
        assert!(matches("line1/**", "line1/oven/temp"));
        assert!(matches("**/temp", "line1/oven/temp"));
        assert!(matches("**", "a"));
        assert!(matches("a*c/d", "abbc/d"));
        assert!(!matches("a*c", "ab/c"));
        assert!(!matches("temp", "temperature"));
    }
}
