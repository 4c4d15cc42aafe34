//! Signers against the published and the recomputed vectors, against their own wire, and against bad input.

mod refusals;
mod vectors;
mod wire;

use super::*;
use http::Request;

/// A moment whose nonce is its time in microseconds.
fn at(now_ms: u64) -> Moment {
    Moment { now_ms, nonce: now_ms * 1000, random: [0xab; 16] }
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect()
}

fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn header<'h>(head: &'h Parts, name: &str) -> &'h str {
    let mut all = head.headers.get_all(name).iter();
    let value = all.next().unwrap_or_else(|| panic!("no header {name}"));
    assert!(all.next().is_none(), "{name} is there twice");
    value.to_str().expect("text")
}

fn signed(signer: Signer, fields: &Fields) -> Prepared {
    Prepared::new(&Auth::Signed { signer }, fields).expect("a key")
}

/// The private RSA key of the vectors: a throw-away one.
pub(super) fn rsa_pem() -> String {
    let all = vectors::all();
    let found = all.iter().find(|v| v["scheme"].as_str().is_some_and(|scheme| scheme.contains("rsa")));
    found.expect("an RSA vector")["inputs"]["api_secret"].as_str().expect("a PEM").to_owned()
}
