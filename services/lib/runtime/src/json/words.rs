//! Says what the readers of JSON and query strings say in the words of JSON, not of the language this is written in.
//!
//! Pure. Never adds what a caller sent: what was in quotes is left out before. A sentence it does not know stays.

/// A sentence of a reader, for people who write JSON.
pub(super) fn plain(text: &str) -> String {
    for wrong in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) =
            text.strip_prefix(wrong).and_then(|rest| rest.split_once(", expected "))
        {
            return format!("expected {}, found {}", expected_in_words(expected), found_in_words(found));
        }
    }
    if let Some(rest) = text.strip_prefix("invalid length ")
        && let Some((length, expected)) = rest.split_once(", expected ")
    {
        return format!("expected {}, found {length} of them", expected_in_words(expected));
    }
    if let Some(rest) = text.strip_prefix("unknown variant ") {
        return format!("unknown word {rest}");
    }
    if text.starts_with("data did not match any variant of untagged enum") {
        return "it has none of the forms that are allowed here".to_owned();
    }
    // A parameter's name may stand before what is wrong with its value.
    for (theirs, ours) in VALUES {
        if let Some(before) = text.strip_suffix(theirs) {
            return format!("{before}{ours}");
        }
    }
    text.to_owned()
}

/// What is wrong with a value of a query string, as the language says it, and in our words.
const VALUES: [(&str, &str); 6] = [
    ("invalid digit found in string", "expected a whole number"),
    ("cannot parse integer from empty string", "expected a whole number, found nothing"),
    ("number too large to fit in target type", "the number is too large"),
    ("number too small to fit in target type", "the number is too small"),
    ("invalid float literal", "expected a number"),
    ("provided string was not `true` or `false`", "expected `true` or `false`"),
];

fn expected_in_words(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number, 1 or more"
        }
        "a boolean" => "`true` or `false`",
        "a string" | "a borrowed string" | "a character" | "string" => "a text",
        "a sequence" | "an array" | "a set" => "a list",
        "a map" | "any valid JSON object" => "an object",
        "unit" | "null" => "null",
        "string or map" => "a text or an object",
        _ => return named_in_words(expected),
    };
    words.to_owned()
}

/// What is expected by the name of a type, which says nothing to others.
fn named_in_words(expected: &str) -> String {
    if expected.starts_with("struct ") && !expected.contains(" with ")
        || expected.contains("tagged enum ")
        || expected.starts_with("struct variant ")
    {
        return "an object".to_owned();
    }
    if let Some(size) = expected.strip_prefix("a tuple of size ") {
        return format!("a list of {size}");
    }
    if let Some(size) = expected.strip_prefix("an array of length ") {
        return format!("a list of {size}");
    }
    if expected.starts_with("struct ") || expected.starts_with("tuple ") {
        return "a list, or an object".to_owned();
    }
    if expected.starts_with("enum ") {
        return "a word".to_owned();
    }
    expected.to_owned()
}

fn found_in_words(found: &str) -> String {
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        "string" | "string \"\"" => "a text".to_owned(),
        "null" | "unit value" | "Option value" => "null".to_owned(),
        _ => ["integer ", "floating point ", "boolean "]
            .iter()
            .find_map(|kind| found.strip_prefix(kind))
            .unwrap_or(found)
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn types_of_the_language_become_words_of_json() {
        let table = [
            ("invalid type: string, expected a sequence", "expected a list, found a text"),
            ("invalid type: map, expected u64", "expected a whole number, 0 or more, found an object"),
            ("invalid value: integer `-1`, expected u8", "expected a whole number from 0 to 255, found `-1`"),
            ("invalid type: floating point `1.5`, expected i64", "expected a whole number, found `1.5`"),
            ("invalid type: boolean `true`, expected a string", "expected a text, found `true`"),
            ("invalid type: null, expected struct Filter", "expected an object, found null"),
            (
                "invalid type: sequence, expected internally tagged enum Auth",
                "expected an object, found a list",
            ),
            ("invalid length 1, expected a tuple of size 2", "expected a list of 2, found 1 of them"),
            ("unknown variant `x`, expected `a` or `b`", "unknown word `x`, expected `a` or `b`"),
            ("page_size: invalid digit found in string", "page_size: expected a whole number"),
            ("missing field `id`", "missing field `id`"),
            ("the id must be a slug", "the id must be a slug"),
        ];
        for (theirs, ours) in table {
            assert_eq!(plain(theirs), ours);
        }
    }
}
