//! Topics and filters (MQTT 5.0, 4.7).

/// The longest topic that is followed: real ones stay below 200 bytes.
pub(super) const TOPIC_BYTES_MAX: usize = 1024;

/// Says what is wrong with a topic's name.
pub(super) fn check_topic(topic: &str) -> Result<(), &'static str> {
    if topic.contains(['+', '#']) {
        return Err("a topic has no wildcards");
    }
    check_text(topic)
}

fn check_text(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err("it is longer than 1024 bytes");
    }
    if text.contains('\0') { Err("it holds a NUL character") } else { Ok(()) }
}

/// Says what is wrong with a filter.
pub(super) fn check_filter(filter: &str) -> Result<(), &'static str> {
    check_text(filter)?;
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        if level.contains('#') && (level != "#" || !is_last) {
            return Err("# stands alone, as the last level");
        }
        if level.contains('+') && level != "+" {
            return Err("+ stands alone in its level");
        }
    }
    Ok(())
}

/// Tells whether a topic is one that a filter asks for.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    // A wildcard at the beginning asks for nothing of the broker's own (4.7.2).
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Tells whether everything that `wanted` asks for comes by `standing`.
pub(super) fn covers(standing: &str, wanted: &str) -> bool {
    if wanted.starts_with('$') && standing.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = wanted.split('/');
    for own in standing.split('/') {
        if own == "#" {
            return true;
        }
        match levels.next() {
            Some("#") | None => return false,
            Some(level) if own == "+" || own == level => {}
            Some(_) => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_matches_as_the_standard_says() {
        for (filter, topic, does) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score", true),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/B", false),
        ] {
            assert_eq!(matches(filter, topic), does, "{filter} {topic}");
        }
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        for bad in ["", "a#", "#/a", "a/+b", "a/#/b"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
        for good in ["#", "+", "a/+/b/#", "/"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        assert!(check_topic("a/#").is_err() && check_topic("a/b").is_ok());
    }

    #[test]
    fn what_a_standing_filter_brings_already_is_known() {
        for (standing, wanted, does) in [
            ("#", "a/+/b", true),
            ("#", "#", true),
            ("a/#", "a/b/#", true),
            ("a/#", "a", true),
            ("a/+", "a/b", true),
            ("a/+", "a/#", false),
            ("a/b", "a/+", false),
            ("#", "$SYS/#", false),
            ("spBv1.0/G/+/N/#", "spBv1.0/#", false),
        ] {
            assert_eq!(covers(standing, wanted), does, "{standing} {wanted}");
        }
    }
}
