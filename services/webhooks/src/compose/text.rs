//! Texts as channels count, cut and read them. Pure.
//!
//! Lengths are UTF-16 units: nothing is shorter in any way of counting that a channel may use, so what fits here fits
//! there.

/// How long a text is at most, in any channel's way of counting.
pub(crate) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Cuts a text to a length, with `…` at its end when something is missing.
pub(crate) fn cut(text: &str, max: usize) -> String {
    cut_with(text, max, "…")
}

/// Cuts a text to a length, the mark for what is missing included. Never cuts a character.
pub(crate) fn cut_with(text: &str, max: usize, mark: &str) -> String {
    if length(text) <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub(length(mark));
    let mut kept = take(text, room).to_owned();
    kept.push_str(take(mark, max));
    kept
}

/// The beginning of a text up to a length.
fn take(text: &str, max: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.len_utf16();
        if used > max {
            return &text[..at];
        }
    }
    text
}

/// Escapes the three characters that Slack reads as markup. What is escaped already stays as it is.
pub(crate) fn slack(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' if !["&amp;", "&lt;", "&gt;"].iter().any(|done| text[at..].starts_with(done)) => {
                escaped.push_str("&amp;");
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Cuts an escaped text without leaving half of an escape at its end.
pub(crate) fn cut_escaped(text: &str, max: usize) -> String {
    if length(text) <= max {
        return text.to_owned();
    }
    let mut kept = take(text, max.saturating_sub(1)).to_owned();
    // The longest escape has five characters.
    if let Some(at) = kept.rfind('&')
        && kept.len() - at < 5
        && !kept[at..].contains(';')
    {
        kept.truncate(at);
    }
    kept.push('…');
    kept
}

/// Escapes what Discord reads as Markdown or as a mention.
pub(crate) fn discord(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '#' | '[' | ']' | '(' | ')' | '<' | '@') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slack_texts_are_escaped_once() {
        assert_eq!(slack("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
        assert_eq!(slack(&slack("a < b && c")), slack("a < b && c"));
        assert_eq!(cut_escaped("aaaa&lt;", 7), "aaaa…");
        assert_eq!(cut_escaped("aa&lt;bbbb", 8), "aa&lt;b…");
    }

    #[test]
    fn characters_count_as_the_strictest_channel_does() {
        assert_eq!(length("🚦"), 2);
        assert_eq!(cut("🚦🚦🚦", 5), "🚦🚦…");
        assert_eq!(cut("🚦🚦🚦", 4), "🚦…");
        assert_eq!(cut_with("Ground control", 9, "..."), "Ground...");
        assert_eq!(cut_with("abc", 2, "..."), "..");
    }

    proptest! {
        #[test]
        fn what_is_cut_fits(text in any::<String>(), max in 0_usize..60) {
            prop_assert!(length(&cut(&text, max)) <= max);
            prop_assert!(length(&cut_escaped(&slack(&text), max.max(1))) <= max.max(1));
            prop_assert!(!slack(&text).contains(['<', '>']));
        }
    }
}
