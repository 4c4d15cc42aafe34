//! Takes Rust text apart: code, comments, literals, and items under `#[cfg(test)]`. Pure.
//!
//! Everything keeps its place: what is taken out becomes blanks of the same length, and line ends stay.

/// A string literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Where its opening quote is, in bytes.
    pub at: usize,
    /// What is between the quotes, as written.
    pub text: String,
}

/// The code without comments and without the insides of literals, and the string literals.
pub(super) fn split(text: &str) -> (String, Vec<Literal>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + comment(rest)
        } else if let Some((open, inside)) = string(bytes, at) {
            let from = at + open;
            literals.push(Literal { at: from - 1, text: text[from..from + inside].to_owned() });
            wipe(&mut code[from..from + inside]);
            at = after_quote(bytes, from + inside, open);
            continue;
        } else if rest[0] == b'\'' {
            let length = character(rest);
            wipe(&mut code[at + 1..at + length.max(2) - 1]);
            at += length;
            continue;
        } else {
            at += 1;
            continue;
        };
        wipe(&mut code[at..end]);
        at = end;
    }
    (String::from_utf8(code).expect("only whole characters are blanked"), literals)
}

/// The code with every item under `#[cfg(test)]` blanked, and the names of modules that were declared so.
pub(super) fn without_tests(code: &str) -> (String, Vec<String>) {
    let mut work = code.as_bytes().to_vec();
    let mut modules = Vec::new();
    if code.contains("#![cfg(test)]") {
        return (blank(code), modules);
    }
    for mark in ["#[cfg(test)]", "#[cfg(all(test,"] {
        for (at, _) in code.match_indices(mark) {
            let end = at + item(&code[at..]);
            let words: Vec<&str> = code[at..end].trim_end_matches(';').split_whitespace().collect();
            if code[at..end].ends_with(';')
                && let [.., "mod", name] = words[..]
            {
                modules.push(name.to_owned());
            }
            wipe(&mut work[at..end]);
        }
    }
    (String::from_utf8(work).expect("only whole items are blanked"), modules)
}

/// All blanks.
pub(super) fn blank(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    wipe(&mut bytes);
    String::from_utf8(bytes).expect("blanks and line ends")
}

fn wipe(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

/// How long a block comment is; they nest.
fn comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// If a string literal begins here: how long its opening is, quote included, and how long what is inside.
fn string(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let rest = &bytes[at..];
    let prefix = if in_word {
        0
    } else {
        rest.iter().take(2).take_while(|byte| matches!(byte, b'b' | b'c' | b'r')).count()
    };
    let raw = rest[..prefix].contains(&b'r');
    let hashes = if raw { rest[prefix..].iter().take_while(|byte| **byte == b'#').count() } else { 0 };
    let open = prefix + hashes + 1;
    if rest.get(open - 1) != Some(&b'"') {
        return None;
    }
    let body = &rest[open..];
    let mut inside = 0;
    while inside < body.len() {
        match body[inside] {
            b'\\' if !raw => inside += 2,
            b'"' if body[inside + 1..].iter().take(hashes).filter(|byte| **byte == b'#').count()
                == hashes =>
            {
                break;
            }
            _ => inside += 1,
        }
    }
    Some((open, inside.min(body.len())))
}

/// Where the code goes on behind a closing quote and its hashes.
fn after_quote(bytes: &[u8], quote: usize, open: usize) -> usize {
    let hashes = bytes
        .get(quote + 1..)
        .unwrap_or_default()
        .iter()
        .take(open)
        .take_while(|byte| **byte == b'#')
        .count();
    quote + 1 + hashes
}

/// How long a character literal is; 1 for the quote of a lifetime.
fn character(rest: &[u8]) -> usize {
    match rest {
        [_, b'\\', _, tail @ ..] => 3 + tail.iter().position(|byte| *byte == b'\'').map_or(0, |end| end + 1),
        [_, first, ..] => {
            let wide = match first {
                0..0x80 => 1,
                0xC0..0xE0 => 2,
                0xE0..0xF0 => 3,
                _ => 4,
            };
            if rest.get(1 + wide) == Some(&b'\'') { wide + 2 } else { 1 }
        }
        _ => 1,
    }
}

/// How long an item with its attributes is: to its `;`, or to the brace that closes its first one.
fn item(code: &str) -> usize {
    let (mut braces, mut brackets) = (0usize, 0usize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => braces += 1,
            b'}' if braces <= 1 && brackets == 0 => return at + 1,
            b'}' => braces -= 1,
            b'[' | b'(' => brackets += 1,
            b']' | b')' => brackets = brackets.saturating_sub(1),
            b';' if braces == 0 && brackets == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str, literals: &[&str]) {
        let (got, found) = split(text);
        assert_eq!(got.len(), text.len());
        assert_eq!(got.split_whitespace().collect::<Vec<_>>().join(" "), code);
        assert_eq!(found.iter().map(|literal| literal.text.as_str()).collect::<Vec<_>>(), literals);
    }

    #[test]
    fn comments_and_texts_are_no_code() {
        check("a // \"no\"\nb /* c /* d */ e */ f", "a b f", &[]);
        check(r#"a("x \" // y") b"#, "a(\" \") b", &[r#"x \" // y"#]);
        check("r#\"say \"hi\" // \"# c", "r#\" \"# c", &["say \"hi\" // "]);
        check("b\"x\" c\"y\" br\"z\\\" d", "b\" \" c\" \" br\" \" d", &["x", "y", "z\\"]);
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        check("f('\"', \"t\") g", "f(' ', \" \") g", &["t"]);
        check("x('\\'', '…') \"t\"", "x(' ', ' ') \" \"", &["t"]);
        check("fn f<'a>(x: &'a str) { \"t\" }", "fn f<'a>(x: &'a str) { \" \" }", &["t"]);
    }

    #[test]
    fn items_for_tests_are_taken_out_and_the_rest_stays() {
        let (work, modules) = without_tests(
            "a; #[cfg(test)] mod tests { fn x() { [1; 2] } } b; #[cfg(test)] mod far; #[cfg(test)] fn f(x: [u8; 2]) {} c",
        );
        assert_eq!(work.split_whitespace().collect::<Vec<_>>(), ["a;", "b;", "c"]);
        assert_eq!(modules, ["far"]);
    }
}
