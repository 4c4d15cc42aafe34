//! How far two words are from each other: for "did you mean".

/// The longest word that is compared, in characters.
const CHARS_MAX: usize = 64;

/// A word as it is looked up: lower case, with underscores.
pub(crate) fn normal(word: &str) -> String {
    word.trim().chars().take(CHARS_MAX).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Whether a word is near another, and how near: the number of letters to add, drop or change. A word that the
/// other begins with is near however much is missing.
pub(crate) fn distance(wrong: &str, right: &str) -> Option<usize> {
    let bound = (right.chars().count() / 3).max(1);
    if wrong.chars().count() >= 3 && right.starts_with(wrong) {
        return Some(1);
    }
    Some(edits(wrong, right)).filter(|edits| *edits <= bound)
}

/// Levenshtein's distance, one row at a time.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(CHARS_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
